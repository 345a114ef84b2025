//! What is wrong with a key of `party.toml`, or with the variable that stands for it, in words for who wrote it.

use figment::Error;
use figment::error::Kind;

/// One line: which key, from where, what is wrong, what it may be.
pub(super) fn told(error: &Error) -> String {
    let key = error.path.join(".");
    let table = || error.path.split_last().map_or(String::new(), |(_, tables)| tables.join("."));
    let is_variable = error.metadata.as_ref().is_some_and(|from| from.name.contains("environment"));
    let named = match key.as_str() {
        "" => String::new(),
        key if is_variable => format!("the variable TACITLY_{} ", key.replace('.', "__").to_uppercase()),
        key => format!("{key} "),
    };
    match &error.kind {
        Kind::UnknownField(found, known) => {
            let table = if error.path.last() == Some(found) { table() } else { key.clone() };
            let place = if table.is_empty() { "at the top".to_owned() } else { format!("in [{table}]") };
            let near = known.iter().find(|there| is_near(found, there));
            let near = near.map_or(String::new(), |near| format!(", perhaps {near} is meant"));
            let from = if is_variable { format!(" (from {})", named.trim_end()) } else { String::new() };
            format!("there is no key {found} {place}{from}{near}; the keys there are {}", known.join(", "))
        }
        Kind::MissingField(name) => format!("the key {name} is missing{}", within(&key)),
        Kind::DuplicateField(name) => format!("the key {name} stands twice{}", within(&key)),
        Kind::UnknownVariant(_, known) => format!("{named}must be {}", known.join(" or ")),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            format!("{named}must be {}", form(expected))
        }
        Kind::Message(_) if key.ends_with("listen") => {
            format!("{named}must be an IP address and a port, such as 127.0.0.1:7100; a host's name is not taken")
        }
        // What the reader of TOML says shows the place over several lines; the first names it.
        Kind::Message(text) if text.starts_with("TOML parse error") => {
            let mut lines = text.lines();
            let place = lines.next().unwrap_or_default().trim_start_matches("TOML parse error at ");
            format!("{place}: this is not TOML; {}", lines.next_back().unwrap_or_default())
        }
        Kind::Message(text) => format!("{named}cannot be used: {text}"),
        other => format!("{named}cannot be used: {other}"),
    }
}

fn within(table: &str) -> String {
    if table.is_empty() { String::new() } else { format!(" in [{table}]") }
}

/// What a value must be, from the name of its type.
fn form(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "a nonzero u64" => "a whole number, 1 or more",
        "f64" | "f32" => "a number",
        "a boolean" | "bool" => "true or false",
        "a string" | "string" | "path string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        other if other.starts_with("struct ") => "a table of keys",
        other => other,
    }
}

/// Whether two keys differ in one letter, or two of them changed places.
fn is_near(found: &str, there: &str) -> bool {
    let (found, there) = (found.as_bytes(), there.as_bytes());
    let same = found.iter().zip(there).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&found[same..], &there[same..]);
    let tail = |rest: &[u8], skip: usize, other: &[u8], also: usize| {
        rest.get(skip..).is_some_and(|rest| other.get(also..).is_some_and(|other| rest == other))
    };
    let swapped = rest.len() > 1 && other.len() > 1 && rest[0] == other[1] && rest[1] == other[0];
    tail(rest, 1, other, 1) || tail(rest, 1, other, 0) || tail(rest, 0, other, 1) || swapped && tail(rest, 2, other, 2)
}
