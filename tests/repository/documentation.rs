//! The pages that repeat what the code says are compared with it.

use tacitly::{codes, jobs::State};

#[test]
fn the_page_of_error_codes_is_the_table_in_the_code() {
    let page = include_str!("../../docs/errors.md");
    let rows: Vec<String> =
        codes::ALL.iter().map(|code| format!("| `{}` | {} | {} |", code.name, code.cause, code.hint)).collect();
    let found: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, rows);
}

#[test]
fn the_page_of_job_states_is_the_table_in_the_code() {
    let page = include_str!("../../docs/jobs.md");
    let (_, states) = page.split_once("## States").unwrap();
    let (states, _) = states.split_once("\n## ").unwrap();
    let found: Vec<&str> = states.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let rows: Vec<String> = State::ALL
        .into_iter()
        .flat_map(|from| from.next().iter().map(move |(to, who)| format!("| {from} | {to} | {who} |")))
        .collect();
    assert_eq!(found, rows);
}
