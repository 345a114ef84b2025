//! What `tacitly bench session` prints is there, whatever its figures are on this machine.

use std::process::Command;

use serde_json::Value;

fn bench(words: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    let ran = command.args(["bench", "session", "--json"]).args(words).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn rounds_are_measured_through_a_session_and_through_a_bare_stream() {
    let figures = bench(&["--runs", "1", "--rounds", "200"]);
    for figure in ["round_us_p50", "round_us_p50_bare", "ratio"] {
        assert!(figures[figure].as_f64().unwrap() > 0.0, "{figures}");
    }
    for figure in ["cpu_us_per_round", "cpu_us_per_round_bare"] {
        assert!(figures[figure].is_number(), "{figures}");
    }
    assert_eq!((figures["rounds"].as_u64(), figures["bytes"].as_u64()), (Some(200), Some(1024)));
}

#[test]
fn a_coordinator_of_some_links_adds_up_what_all_send_and_tells_its_memory() {
    let figures = bench(&["--links", "6", "--bytes", "300000"]);
    for figure in ["rss_mib_before", "rss_mib_linked", "rss_mib_peak"] {
        assert!(figures[figure].as_f64().unwrap() > 0.0, "{figures}");
    }
    assert_eq!(figures["links"].as_u64(), Some(6));
}
