//! The page of a run, opened in a real headless browser: what a person looks for is there, and visible.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use simulations::{
    checkers::{Finding, Violation},
    report::page,
    scenario,
};

/// What is looked for, said in the title of the page by the browser itself: how many of each are there and take up space.
const LOOK: &str = r##"<script>
    const seen = (what) => [...document.querySelectorAll(what)].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width + box.height > 0;
    });
    const texts = (what) => seen(what).map((element) => element.textContent.trim());
    document.title = JSON.stringify({
        lanes: texts(".lane"),
        messages: seen("line.message").length,
        tips: seen("path.tip").length,
        rows: seen("g.row").length,
        faults: seen("rect.fault").length,
        failovers: texts("text.failover"),
        branches: seen(".branch").length,
        winners: seen(".branch.wins").length,
        violation: texts("#violation"),
        marked: texts("text.violation"),
        fetched: performance.getEntriesByType("resource").length,
    });
</script>"##;

#[test]
fn a_person_sees_lanes_messages_faults_failovers_branches_and_the_broken_promise() {
    let Some(browser) = browser() else {
        // No test of what a browser shows can pass without one; that it was not made is said where it is read.
        writeln!(io::stderr(), "skipped: there is no headless Chromium (Debian: apt-get install chromium)").unwrap();
        return;
    };
    let conflict = scenario::named("conflict").unwrap();
    let mut outcome = conflict.play();
    assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
    let subject = outcome.endings[0].run.workflow.workflow.clone();
    let last = outcome.lines.last().unwrap().clone();
    let text = "clusters agree: <its> events differ".to_owned();
    outcome.lines.push(simulations::trace::Line { kind: "VIOLATION", subject: Some(subject.clone()), text, ..last });
    outcome.violation = Some(Violation {
        at: Duration::from_secs(9),
        promise: "clusters agree",
        finding: Finding { subject: Some(subject), text: "<its> events differ".into() },
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let page =
        page::page("Scenario conflict", "simulate replay --scenario conflict", (conflict.script)().plan(), &outcome);
    fs::write(&file, page.replace("</body>", &format!("{LOOK}</body>"))).unwrap();

    let seen = look(&browser, &file, folder.path());

    assert_eq!(seen["lanes"], serde_json::json!(["a", "b", "c"]));
    let count = |what: &str| seen[what].as_u64().unwrap();
    assert!(count("messages") >= 10, "{seen}");
    assert!(count("tips") >= 5, "messages arrive: {seen}");
    assert!(count("rows") >= 30, "{seen}");
    assert!(count("faults") >= 4, "{seen}");
    assert!(seen["failovers"][0].as_str().unwrap().contains("from a to b"), "{seen}");
    assert_eq!((count("branches"), count("winners")), (6, 3), "a tree of two branches in each cluster: {seen}");
    assert!(seen["violation"][0].as_str().unwrap().contains("<its> events differ"), "{seen}");
    assert!(seen["marked"][0].as_str().unwrap().contains("clusters agree"), "{seen}");
    assert_eq!(count("fetched"), 0, "the page stands alone");
}

/// What the browser says about the page.
fn look(browser: &Path, file: &Path, profile: &Path) -> Value {
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--window-size=1600,1200"]);
    command.arg(format!("--user-data-dir={}", profile.join("profile").display()));
    let output = command.arg(format!("file://{}", file.display())).output().expect("start the browser");
    let dom = String::from_utf8(output.stdout).expect("a page in UTF-8");
    let title = dom.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
    let title = title.unwrap_or_else(|| panic!("no page: {}", String::from_utf8_lossy(&output.stderr)));
    let title = title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&title).unwrap_or_else(|error| panic!("{error}: {title}"))
}

/// The browser: `CHROMIUM`, or the first that lies in the path.
fn browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}
