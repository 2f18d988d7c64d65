//! The demonstration: every promise shown with figures, on the terminal as it goes and in a report at the end.

mod acts;
mod promise;
mod sampler;
mod scenes;
mod screen;
mod stage;
mod story;
mod wards;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

pub use promise::Promise;
pub(crate) use promise::{bytes, grouped, milliseconds};
pub use sampler::{Sample, Samples};
pub use story::{About, Felt, Held, Mark, Restart, Served, Share, Story, Takeover};

use acts::Act;
use scenes::Scene;
use screen::Screen;
use stage::Stage;
use wards::Ward;

/// What the demonstration shows and where it writes.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary under test.
    pub geminus: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// Half the time, a quarter of the traffic.
    pub fast: bool,
}

/// Runs it; the answer is whether every promise was kept.
///
/// # Errors
/// When the site cannot be built, the daemon does not start or the report cannot be written. A promise that was not
/// kept is an answer, no error.
pub fn run(options: &Options) -> Result<bool> {
    let screen = Screen::new();
    screen.title();
    let mut stage = Stage::build(options)?;
    screen.site(&stage.about());
    let mut promises = Vec::new();
    for scene in Scene::ALL {
        screen.begins(scene.title());
        let promise = scene.play(&mut stage);
        screen.ends(&promise);
        stage.rest();
        promises.push(promise);
    }
    let mut story = stage.end(promises)?;
    let begun = Instant::now();
    for ward in Ward::ALL {
        screen.begins(ward.title());
        let promise = ward.play(options);
        screen.ends(&promise);
        story.add(promise, None);
    }
    screen.twins();
    for act in Act::ALL {
        screen.begins(act.title());
        let (promise, takeover) = act.play(options);
        screen.ends(&promise);
        story.add(promise, takeover);
    }
    story.about.took += begun.elapsed();
    write_report(&options.report, &story)?;
    screen.summary(&story, &options.report);
    Ok(story.kept())
}

fn write_report(path: &Path, story: &Story) -> Result<()> {
    use anyhow::Context as _;
    let page = crate::report::page(story)?;
    std::fs::write(path, page).with_context(|| format!("cannot write the report to {}", path.display()))
}
