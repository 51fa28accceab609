//! The rules of shape and layering as an ordinary test (ARCHITECTURE.md says why they are so).
//!
//! * A module uses only layers below its own; protocols never use one another; `net` and `store`
//!   never know each other.
//! * Files have at most 500 lines (tables excepted); functions at most 70, nine in ten under 30.
//! * No `unwrap` outside tests, no lint switched off without a reason beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const SHORT_FUNCTION_LINES: usize = 30;

/// Layers from the bottom up. A module may use those below its own and, except in layer 3, its
/// neighbours.
const LAYERS: &[(&str, u8)] = &[
    ("clock", 0),
    ("units", 0),
    ("explain", 0),
    ("net", 1),
    ("store", 1),
    ("transcript", 1),
    ("http", 2),
    ("mail", 2),
    ("web", 3),
    ("proxy", 3),
    ("smtp", 3),
    ("pop3", 3),
    ("ftp", 3),
    ("capital", 3),
    ("error", 4),
    ("config", 4),
    ("services", 4),
    ("control", 4),
    ("cli", 4),
    ("lab", 4),
    ("play", 4),
    ("testing", 4),
];

/// Pairs that must not know each other although the layers would allow it.
const STRANGERS: &[(&str, &str)] =
    &[("net", "store"), ("store", "net"), ("transcript", "store"), ("http", "net"), ("http", "store"), ("mail", "net"), ("mail", "store")];

struct Source {
    path: PathBuf,
    /// The top-level module it belongs to.
    module: String,
    /// Without its unit tests.
    lines: Vec<String>,
    total: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    assert!(found.len() > 30, "the sources are where they are expected");
    let texts: Vec<(PathBuf, String)> = found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is readable");
            (path.strip_prefix(&root).expect("it was found below the root").to_owned(), text)
        })
        .collect();
    let tests: Vec<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    texts
        .into_iter()
        .map(|(path, text)| {
            let first = path.components().next().expect("it has a name").as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            let total = text.lines().count();
            let is_test = tests.iter().any(|test| path.with_extension("").starts_with(test))
                || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
            let code = if is_test { String::new() } else { without_unit_tests(&text) };
            Source { path, module, lines: code.lines().map(str::to_owned).collect(), total }
        })
        .collect()
}

/// The modules that a file declares for tests only (`#[cfg(test)] mod x;`), as paths without
/// extension; what lies below them is for tests too.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_stem().is_some_and(|stem| stem == "mod" || stem == "lib") {
        true => path.parent().expect("a file lies in a folder").to_owned(),
        false => path.with_extension(""),
    };
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|after| {
        let line = after.lines().next()?.trim();
        let name = line.strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(folder.join(name))
    });
    declared.collect()
}

/// A file up to its `#[cfg(test)] mod tests { ... }`, which stands last.
fn without_unit_tests(text: &str) -> String {
    let mut code = text;
    for (at, _) in text.match_indices("\n#[cfg(test)]\n") {
        if text[at + 1..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{')) {
            code = &text[..at];
            break;
        }
    }
    code.to_owned()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The top-level modules that a file names, as `crate::x` or in a `use crate::{...}` group.
fn used_modules(source: &Source) -> Vec<String> {
    let text = source.lines.iter().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for after in text.split("crate::").skip(1) {
        if let Some(group) = after.strip_prefix('{') {
            used.extend(heads_of_group(group));
        } else {
            used.push(identifier(after));
        }
    }
    used
}

/// The first path segments in `a::b, c::{d, e}, f}`.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && depth == 0 && !c.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn each_layer_uses_only_what_is_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        if matches!(source.module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = layer(&source.module) else {
            wrong.push(format!("{}: module `{}` has no layer; give it one in tests/tidy.rs", source.path.display(), source.module));
            continue;
        };
        for used in used_modules(&source) {
            let Some(theirs) = layer(&used) else { continue };
            let sideways = own == 3 && theirs == 3 && used != source.module;
            let stranger = STRANGERS.contains(&(source.module.as_str(), used.as_str()));
            if theirs > own || sideways || stranger {
                wrong.push(format!("{} (layer {own}) uses {used} (layer {theirs})", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "layer rules broken:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let is_table = |source: &Source| source.path.ends_with("explain.rs");
    let long: Vec<_> = sources()
        .iter()
        .filter(|source| source.total > FILE_LINES && !is_table(source))
        .map(|source| format!("{}: {} lines", source.path.display(), source.total))
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES} lines; split by meaning:\n{}", long.join("\n"));
}

/// Functions with their length in lines, found by the indentation that rustfmt guarantees.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "async fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
            "const fn ",
            "pub(crate) const fn ",
        ]
        .iter()
        .any(|start| code.starts_with(start));
        if !is_function || code.ends_with(';') || code.ends_with('}') {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let end = source.lines[at..].iter().position(|line| *line == format!("{indent}}}") || *line == format!("{indent});"));
        if let Some(length) = end {
            found.push((code.split('(').next().unwrap_or(code).to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn functions_stay_short() {
    let (mut all, mut short, mut long) = (0, 0, Vec::new());
    for source in sources() {
        for (name, length) in functions(&source) {
            all += 1;
            short += usize::from(length <= SHORT_FUNCTION_LINES);
            if length > FUNCTION_LINES {
                long.push(format!("{}: {name}: {length} lines", source.path.display()));
            }
        }
    }
    assert!(all > 100, "functions are found where they are");
    assert!(long.is_empty(), "functions over {FUNCTION_LINES} lines:\n{}", long.join("\n"));
    assert!(short * 10 >= all * 9, "only {short} of {all} functions have at most {SHORT_FUNCTION_LINES} lines");
}

#[test]
fn nothing_unwraps_and_every_switched_off_lint_says_why() {
    let mut wrong = BTreeMap::new();
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let place = format!("{}:{}", source.path.display(), number + 1);
            if code.contains(".unwrap()") {
                wrong.insert(place, "unwrap outside tests: handle it, or `expect` with the reason");
            } else if code.contains("#[allow(") || code.contains("#![allow(") {
                let above = number.checked_sub(1).and_then(|above| source.lines.get(above)).is_some_and(|line| line.contains("//"));
                if !above && !line.contains("//") {
                    wrong.insert(place, "a lint switched off without a reason");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_is_forbidden() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs is readable");
    assert!(lib.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn the_guide_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is readable");
    let (mut folder, mut missing, mut named) = (String::new(), Vec::new(), 0);
    for line in guide.lines() {
        if line.starts_with("## ") {
            folder = line.split('`').nth(1).unwrap_or("src/net/").to_owned();
        }
        if let Some(first) = line.strip_prefix("| `src/").and_then(|row| row.split('`').next()) {
            folder = format!("src/{first}");
        }
        for name in
            line.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") || name.ends_with('/') && name.starts_with("src/"))
        {
            named += 1;
            let places = [root.join(name), root.join("src").join(name), root.join(&folder).join(name)];
            if !places.iter().any(|place| place.exists()) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(named > 50, "the guide names the files it speaks of");
    assert!(missing.is_empty(), "ARCHITECTURE.md names files that are not there: {missing:?}");
}
