//! Whole servers, as people run them.

use std::process::{Command, Output};

#[test]
fn twenty_seeds_keep_every_promise() {
    let output = simulate(&["--from", "1", "--seeds", "20"]);
    let text = kept(&output);
    assert!(text.starts_with("whole servers, seeds 1 to 20"), "{text}");
    assert!(text.contains("20 worlds in ") && text.contains(" seeds/min; "), "{text}");
    for what in [
        "fault: crash",
        "fault: cut",
        "operator: forced",
        "fault: hosts parted",
        "operator: handed over",
        "client: query answered",
    ] {
        assert!(text.contains(what), "{what}: {text}");
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_bytes_on_the_wire() {
    for seed in ["1", "2", "4", "11"] {
        let [first, second] = [(), ()].map(|()| kept(&simulate(&["--seed", seed, "--log"])));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.contains("bytes on the wire, trace "), "{first}");
    }
}

fn kept(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn simulate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).arg("servers").args(args).output().unwrap()
}
