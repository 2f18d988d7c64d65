//! From the TOML tree to a tree that agrees with [`super::keys`]: every value typed, in range, and at its place.

use std::net::IpAddr;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::finding::{FindingKind, Problem, Quoted, Report};
use super::keys::{self, Key, Kind, Presence, Table};
use super::nearest::nearest;
use super::scalar::{self, Raw, Scalar, interpret, later_version, mistyped};
use super::status;

/// A value and the byte it starts at.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// What stands behind one key.
pub(super) enum Slot {
    /// Nothing, and nothing is meant.
    Absent,
    /// Something that was refused and reported.
    Bad,
    /// A single value, written or by default.
    One(At<Scalar>),
    /// A list of values, less the refused ones.
    Many(Vec<At<Scalar>>),
    /// Pairs of addresses, less the refused ones.
    Pairs(Vec<At<[At<IpAddr>; 2]>>),
    /// A table.
    Table(Node),
    /// Tables by name, in the order of the file; a refused name is still there, for what refers to it.
    Named(Vec<(At<String>, Node)>),
    /// A list of tables.
    List(Vec<Node>),
}

impl Slot {
    /// Where it starts, as far as that was kept.
    fn at(&self) -> Option<usize> {
        match self {
            Self::Absent | Self::Bad => None,
            Self::One(value) => Some(value.at),
            Self::Many(values) => values.first().map(|value| value.at),
            Self::Pairs(pairs) => pairs.first().map(|pair| pair.at),
            Self::Table(node) => Some(node.at),
            Self::Named(nodes) => nodes.first().map(|(name, _)| name.at),
            Self::List(nodes) => nodes.first().map(|node| node.at),
        }
    }
}

/// One table of the file.
pub(super) struct Node {
    spec: &'static Table,
    /// Where it starts: its header, its brace, or its key.
    pub(super) at: usize,
    slots: Vec<Slot>,
}

impl Node {
    /// What stands behind a key that the description of this table has.
    pub(super) fn slot(&self, name: &str) -> &Slot {
        let index = self.spec.index(name).expect("the key is in the description of the table");
        &self.slots[index]
    }

    /// A single value, if it is there and sound.
    pub(super) fn one(&self, name: &str) -> Option<&At<Scalar>> {
        match self.slot(name) {
            Slot::One(value) => Some(value),
            _ => None,
        }
    }

    /// The sound values of a list.
    pub(super) fn many(&self, name: &str) -> &[At<Scalar>] {
        match self.slot(name) {
            Slot::Many(values) => values,
            _ => &[],
        }
    }

    /// The sound pairs of a list.
    pub(super) fn pairs(&self, name: &str) -> &[At<[At<IpAddr>; 2]>] {
        match self.slot(name) {
            Slot::Pairs(pairs) => pairs,
            _ => &[],
        }
    }

    /// The keys that the file has, and where their values are; none of a refused one.
    ///
    /// Only for tables whose keys have no default: a default counts as written.
    pub(super) fn written(&self) -> impl Iterator<Item = (&'static str, Option<usize>)> {
        let keys = self.spec.keys.iter().zip(&self.slots);
        keys.filter(|(_, slot)| !matches!(slot, Slot::Absent)).map(|(key, slot)| (key.name, slot.at()))
    }

    pub(super) fn table(&self, name: &str) -> Option<&Self> {
        match self.slot(name) {
            Slot::Table(node) => Some(node),
            _ => None,
        }
    }

    pub(super) fn named(&self, name: &str) -> &[(At<String>, Self)] {
        match self.slot(name) {
            Slot::Named(nodes) => nodes,
            _ => &[],
        }
    }

    pub(super) fn list(&self, name: &str) -> &[Self] {
        match self.slot(name) {
            Slot::List(nodes) => nodes,
            _ => &[],
        }
    }
}

/// Where in the file a table is, for messages.
struct Scope<'a> {
    spec: &'static Table,
    name: Option<&'a str>,
    parent: Option<&'a Self>,
}

impl Scope<'_> {
    /// `cluster `shop``, `a server of cluster `shop``, `[tables]`, `the file`.
    fn label(&self) -> String {
        let noun = self.spec.noun;
        match (self.name, self.nearest_name()) {
            (Some(name), _) => format!("{noun} {}", Quoted(name)),
            (None, Some((owner, name))) => format!("{noun} of {owner} {}", Quoted(name)),
            (None, None) => noun.to_string(),
        }
    }

    fn nearest_name(&self) -> Option<(&'static str, &str)> {
        match self.name {
            Some(name) => Some((self.spec.noun, name)),
            None => self.parent?.nearest_name(),
        }
    }

    /// An example with the name of the cluster around it.
    fn example(&self, key: &Key) -> String {
        match self.nearest_name() {
            Some((_, name)) if scalar::name(name).is_ok() => key.example.replace("NAME", name),
            _ => key.example.to_string(),
        }
    }
}

/// Reads the whole document.
pub(super) fn document(root: &DeTable<'_>, report: &mut Report<'_>) -> Node {
    let scope = Scope { spec: &keys::FILE, name: None, parent: None };
    table(root, 0, &scope, report)
}

fn table(entries: &DeTable<'_>, at: usize, scope: &Scope<'_>, report: &mut Report<'_>) -> Node {
    let spec = scope.spec;
    let mut slots: Vec<_> = spec.keys.iter().map(|_| Slot::Absent).collect();
    for (key, value) in entries {
        let name = key.get_ref().as_ref();
        if let Some(index) = spec.index(name) {
            slots[index] = slot(&spec.keys[index], value.span().start, value.get_ref(), scope, report);
        } else {
            let meant = stranger(name, key.span().start, value.get_ref(), scope, report);
            if let Some(index) = meant.filter(|index| !entries.contains_key(spec.keys[*index].name)) {
                slots[index] = misspelt(&spec.keys[index], value, scope, report);
            }
        }
    }
    for (slot, key) in slots.iter_mut().zip(spec.keys) {
        if matches!(slot, Slot::Absent) {
            *slot = absent(key, at, scope, report);
        }
    }
    Node { spec, at, slots }
}

/// The value of a key that is misspelt: what it holds is looked at all the same, if it holds more than one thing.
fn misspelt(key: &Key, value: &Spanned<DeValue<'_>>, scope: &Scope<'_>, report: &mut Report<'_>) -> Slot {
    match key.kind {
        Kind::Table(_) | Kind::Named(_) | Kind::List(_) => {
            slot(key, value.span().start, value.get_ref(), scope, report)
        }
        _ => Slot::Bad,
    }
}

fn absent(key: &Key, at: usize, scope: &Scope<'_>, report: &mut Report<'_>) -> Slot {
    match key.presence {
        Presence::Otherwise(_) => Slot::Absent,
        Presence::Empty => {
            let Kind::Table(spec) = key.kind else { return Slot::Absent };
            Slot::Table(table(&DeTable::new(), at, &Scope { spec, name: None, parent: Some(scope) }, report))
        }
        Presence::Default(literal) => {
            let value = interpret(key, literal.into()).expect("a default agrees with its own description");
            Slot::One(At { value, at })
        }
        Presence::Required => {
            let message = format!("{} has no `{}`", scope.label(), key.name);
            let hint = format!("add {}", scope.example(key));
            report.error(at, FindingKind::Missing, Problem::new(message).hint(hint));
            Slot::Bad
        }
    }
}

fn slot(key: &Key, at: usize, value: &DeValue<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Slot {
    match (&key.kind, value) {
        (Kind::Table(spec), DeValue::Table(entries)) => {
            let inner = Scope { spec, name: None, parent: Some(scope) };
            Slot::Table(table(entries, at, &inner, report))
        }
        (Kind::Named(spec), DeValue::Table(entries)) => Slot::Named(named(spec, entries, scope, report)),
        (Kind::List(spec), DeValue::Array(entries)) if !entries.is_empty() => {
            Slot::List(list(key, spec, entries, scope, report))
        }
        (Kind::Addresses | Kind::Prefixes | Kind::Windows | Kind::Texts(_), DeValue::Array(entries))
            if !entries.is_empty() =>
        {
            Slot::Many(values(key, entries, report))
        }
        (Kind::Statuses, DeValue::Array(entries)) if !entries.is_empty() => {
            match statuses(key, entries, report) {
                Some(value) => Slot::One(At { value, at }),
                None => Slot::Bad,
            }
        }
        (Kind::Pairs, DeValue::Array(entries)) if !entries.is_empty() => {
            Slot::Pairs(pairs(key, entries, report))
        }
        (Kind::Command, DeValue::Array(entries)) if !entries.is_empty() => {
            match command(key, at, entries, report) {
                Some(value) => Slot::One(At { value, at }),
                None => Slot::Bad,
            }
        }
        (kind, DeValue::Array(entries)) if kind.is_list() && entries.is_empty() => {
            let message = format!("{} has an empty `{}`", scope.label(), key.name);
            let hint = scope.example(key);
            report.error(at, FindingKind::Missing, Problem::new(message).hint(hint));
            Slot::Bad
        }
        (Kind::List(_), DeValue::Table(_)) => {
            let message = format!("`{}` is one table, expected a list of tables", key.name);
            let hint = format!("two pairs of brackets: {}", scope.example(key));
            report.error(at, FindingKind::Type, Problem::new(message).hint(hint));
            Slot::Bad
        }
        (Kind::Table(_) | Kind::Named(_) | Kind::List(_), value) => {
            let (kind, problem) = mistyped(key, raw(value));
            report.error(at, kind, problem.hint(scope.example(key)));
            Slot::Bad
        }
        (kind, value) if kind.is_list() && !matches!(kind, Kind::Statuses) => {
            let (kind, problem) = mistyped(key, raw(value));
            report.error(at, kind, problem);
            Slot::Bad
        }
        _ => match one(key, at, value, report) {
            Some(value) => Slot::One(At { value, at }),
            None => Slot::Bad,
        },
    }
}

/// The entries of a list of texts that mean something.
fn values(key: &Key, entries: &DeArray<'_>, report: &mut Report<'_>) -> Vec<At<Scalar>> {
    let mut values = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let at = entry.span().start;
        match entry.get_ref() {
            DeValue::String(_) => {
                values.extend(one(key, at, entry.get_ref(), report).map(|value| At { value, at }));
            }
            other => {
                report.error(at, FindingKind::Type, no_entry(key, other));
            }
        }
    }
    values
}

fn no_entry(key: &Key, value: &DeValue<'_>) -> Problem {
    let wanted = scalar::entry_wanted(&key.kind);
    Problem::new(format!("an entry of `{}` is {}, expected {wanted}", key.name, raw(value).noun()))
        .hint(key.example)
}

/// All entries of a list of status codes as one value.
fn statuses(key: &Key, entries: &DeArray<'_>, report: &mut Report<'_>) -> Option<Scalar> {
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let at = entry.span().start;
        match status::read(key, raw(entry.get_ref())) {
            Some(Ok(range)) => ranges.push(range),
            Some(Err((kind, problem))) => report.error(at, kind, problem),
            None => report.error(at, FindingKind::Type, no_entry(key, entry.get_ref())),
        }
    }
    if let Some(beyond) = entries.get(status::MOST) {
        let problem = Problem::new(format!("`{}` has {} entries", key.name, entries.len()));
        let problem = problem.hint(format!("at most {}", status::MOST));
        report.error(beyond.span().start, FindingKind::Limit, problem);
        return None;
    }
    (ranges.len() == entries.len()).then_some(Scalar::Statuses(ranges))
}

fn pairs(key: &Key, entries: &DeArray<'_>, report: &mut Report<'_>) -> Vec<At<[At<IpAddr>; 2]>> {
    let mut pairs = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let at = entry.span().start;
        let mut refuse = |kind, message: String| {
            report.error(at, kind, Problem::new(message).hint(key.example));
        };
        match entry.get_ref() {
            DeValue::Array(pair) if pair.len() == 2 => {
                let ends: Vec<_> = values(key, pair, report).iter().filter_map(as_address).collect();
                if let [one, other] = ends[..] {
                    pairs.push(At { value: [one, other], at });
                }
            }
            DeValue::Array(pair) => {
                let message =
                    format!("an entry of `{}` has {} addresses, expected two", key.name, pair.len());
                refuse(FindingKind::Value, message);
            }
            other => {
                let noun = raw(other).noun();
                let message = format!("an entry of `{}` is {noun}, expected a pair of addresses", key.name);
                refuse(FindingKind::Type, message);
            }
        }
    }
    pairs
}

/// An address and where it stands.
pub(super) fn as_address(value: &At<Scalar>) -> Option<At<IpAddr>> {
    match value.value {
        Scalar::Address(address) => Some(At { value: address, at: value.at }),
        _ => None,
    }
}

fn command(key: &Key, at: usize, entries: &DeArray<'_>, report: &mut Report<'_>) -> Option<Scalar> {
    let mut words = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let DeValue::String(word) = entry.get_ref() else {
            let noun = raw(entry.get_ref()).noun();
            let message = format!("an entry of `{}` is {noun}, expected a string", key.name);
            report.error(entry.span().start, FindingKind::Type, Problem::new(message).hint(key.example));
            return None;
        };
        words.push(word.as_ref());
    }
    let command = scalar::command(key, words).map_err(|(kind, problem)| report.error(at, kind, problem));
    command.ok().map(Scalar::Command)
}

/// A single value, or none and a report.
fn one(key: &Key, at: usize, value: &DeValue<'_>, report: &mut Report<'_>) -> Option<Scalar> {
    interpret(key, raw(value)).map_err(|(kind, problem)| report.error(at, kind, problem)).ok()
}

fn raw<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => Raw::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        other => Raw::Other(other.type_str()),
    }
}

fn named(
    spec: &'static Table,
    entries: &DeTable<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Vec<(At<String>, Node)> {
    let mut nodes = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        let DeValue::Table(inner) = value.get_ref() else {
            report.error(at, FindingKind::Type, nameless(spec, name, value.get_ref()));
            continue;
        };
        let inner_scope = Scope { spec, name: Some(name), parent: Some(scope) };
        if let Err((kind, problem)) = scalar::name(name) {
            report.error(at, kind, problem);
        }
        let node = table(inner, value.span().start, &inner_scope, report);
        nodes.push((At { value: name.to_string(), at }, node));
    }
    // The TOML tree is sorted by key; people, indices and plans go by the order of the file.
    nodes.sort_by_key(|(name, _)| name.at);
    nodes
}

/// A value where a table with a name is expected: mostly the name is what is missing.
fn nameless(spec: &'static Table, name: &str, value: &DeValue<'_>) -> Problem {
    if spec.index(name).is_some() {
        let message = format!("`{name}` stands where the name of a {} belongs", spec.noun);
        return Problem::new(message).hint(format!("give it a name: {}", spec.header));
    }
    let problem =
        Problem::new(format!("{} {} is {}, expected a table", spec.noun, Quoted(name), raw(value).noun()));
    match value {
        DeValue::Array(_) if scalar::name(name).is_ok() => {
            problem.hint(format!("one pair of brackets: {}", spec.header.replace("NAME", name)))
        }
        _ => problem.hint(spec.header),
    }
}

fn list(
    key: &Key,
    spec: &'static Table,
    entries: &DeArray<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Vec<Node> {
    let inner = Scope { spec, name: None, parent: Some(scope) };
    let mut nodes = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let at = entry.span().start;
        match entry.get_ref() {
            DeValue::Table(entries) => nodes.push(table(entries, at, &inner, report)),
            other => report.error(at, FindingKind::Type, no_table(key, other, scope)),
        }
    }
    nodes
}

fn no_table(key: &Key, value: &DeValue<'_>, scope: &Scope<'_>) -> Problem {
    let problem =
        Problem::new(format!("an entry of `{}` is {}, expected a table", key.name, raw(value).noun()));
    match value {
        DeValue::String(text) if text.parse::<IpAddr>().is_ok() => {
            problem.hint(format!("{{ address = \"{text}\" }}"))
        }
        _ => problem.hint(scope.example(key)),
    }
}

/// A key that the table does not have: reserved, misspelt, misplaced or unknown. The key that was meant, if it shows.
fn stranger(
    name: &str,
    at: usize,
    value: &DeValue<'_>,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Option<usize> {
    let spec = scope.spec;
    if let Some(reserved) = spec.reserved.iter().find(|reserved| reserved.name == name) {
        let (kind, problem) = later_version(&format!("`{name}`"), reserved, "remove it");
        report.error(at, kind, problem);
        return None;
    }
    let alias = spec.keys.iter().find(|key| key.also.contains(&name)).map(|key| key.name);
    let known =
        spec.keys.iter().map(|key| key.name).chain(spec.reserved.iter().map(|reserved| reserved.name));
    let around = around(name, scope);
    let meant = alias.or_else(|| nearest(name, known).filter(|_| around.is_none()));
    let hint = match (meant, around) {
        (Some(meant), _) => format!("did you mean `{meant}`"),
        (None, Some(home)) => format!("`{name}` belongs in {home}"),
        (None, None) => way_out(name, value, scope),
    };
    let message = format!("unknown key {} in {}", Quoted(name), scope.label());
    report.error(at, FindingKind::UnknownKey, Problem::new(message).hint(hint));
    meant.and_then(|meant| spec.index(meant))
}

/// The table around this one, or directly in it, that has a key of this name.
fn around(name: &str, scope: &Scope<'_>) -> Option<&'static str> {
    let mut outer = std::iter::successors(scope.parent, |scope| scope.parent).map(|scope| scope.spec);
    let mut inner = scope.spec.keys.iter().filter_map(|key| match key.kind {
        Kind::Table(spec) | Kind::Named(spec) | Kind::List(spec) => Some(spec),
        _ => None,
    });
    let has = |table: &&'static Table| table.index(name).is_some() && !table.header.is_empty();
    outer.find(has).or_else(|| inner.find(has)).map(Table::place)
}

/// The hint for a key that resembles none of the table's.
fn way_out(name: &str, value: &DeValue<'_>, scope: &Scope<'_>) -> String {
    let spec = scope.spec;
    let dotted = scope.name.map(|outer| format!("{outer}.{name}"));
    if let (Some(dotted), DeValue::Table(_)) = (dotted.filter(|dotted| scalar::name(dotted).is_ok()), value) {
        return format!("a name with a dot needs quotes: [{}.\"{dotted}\"]", spec.noun);
    }
    if let Some(homes) = few(|table| table.index(name).is_some()) {
        return format!("`{name}` belongs in {homes}");
    }
    if let Some(homes) = few(|table| table.reserved.iter().any(|reserved| reserved.name == name)) {
        return format!("`{name}` is for {homes} in a later version");
    }
    format!("it has {}", spec.keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", "))
}

/// The one table of which something is true, or the two.
fn few(is_so: impl Fn(&Table) -> bool) -> Option<String> {
    let homes: Vec<_> = keys::ALL.iter().filter(|table| is_so(table)).map(|table| table.place()).collect();
    (1..=2).contains(&homes.len()).then(|| homes.join(" or "))
}
