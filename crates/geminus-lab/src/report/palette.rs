//! The colours, one for each server, the same in every picture.

use plotters::style::RGBColor;

pub(super) const INK: RGBColor = RGBColor(0x2b, 0x31, 0x40);
pub(super) const FAINT: RGBColor = RGBColor(0xd9, 0xdd, 0xe6);
pub(super) const QUIET: RGBColor = RGBColor(0x6b, 0x73, 0x86);
pub(super) const REQUEST: RGBColor = RGBColor(0x3d, 0x5a, 0xf1);
pub(super) const REPLY: RGBColor = RGBColor(0x0f, 0x9d, 0x7a);

/// The dispatcher that is primary of the first cluster, and its twin.
const NODES: [RGBColor; 2] = [RGBColor(0x3d, 0x5a, 0xf1), RGBColor(0xe5, 0x8a, 0x1f)];

const SERVERS: [RGBColor; 6] = [
    RGBColor(0x4f, 0x7d, 0xf3),
    RGBColor(0xf2, 0x9a, 0x4a),
    RGBColor(0x35, 0xb0, 0x8f),
    RGBColor(0xa4, 0x70, 0xe0),
    RGBColor(0xe2, 0x62, 0x7e),
    RGBColor(0x8a, 0x95, 0xa8),
];

/// The colour of the server at this place in the list of servers.
pub(super) const fn server(place: usize) -> RGBColor {
    SERVERS[place % SERVERS.len()]
}

/// The colour of a dispatcher.
pub(super) fn node(name: &str) -> RGBColor {
    NODES[usize::from(name != "alpha")]
}

/// Of two clusters the second is lighter.
pub(super) fn lighter(colour: RGBColor, place: usize) -> RGBColor {
    let RGBColor(red, green, blue) = colour;
    let lift = |part: u8| if place == 0 { part } else { part + (255 - part) / 2 };
    RGBColor(lift(red), lift(green), lift(blue))
}

/// As CSS writes it.
pub(super) fn css(colour: RGBColor) -> String {
    let RGBColor(red, green, blue) = colour;
    format!("#{red:02x}{green:02x}{blue:02x}")
}
