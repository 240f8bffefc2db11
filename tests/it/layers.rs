//! The layers of the house, as the tables in `src/lib.rs` have them.
//!
//! Those tables are the only ones: they are read here, and then every `crate::`
//! path of the sources. What is compiled for tests only may import anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What the table marks with a star: `importer` may name `imported` in these files only.
const IN_FEW_FILES: [FewFiles; 3] = [
    FewFiles {
        importer: "cli",
        imported: "docker",
        files: &[
            "src/cli/bootstrap",   // makes the proxy, before there is a server to ask
            "src/cli/proxy.rs",    // removes and remakes the proxy, which cannot do that to itself
            "src/cli/terminal",    // bytes of a terminal go to the engine, not through the server
            "src/cli/attached.rs", // the same
            "src/cli/exec.rs",     // the same
            "src/cli/start.rs",    // the same
            "src/cli/cp.rs",       // the same, of files
            "src/cli/doctor",      // looks at the engine, which may be all there is
            "src/cli/adopt.rs",    // describes containers that the server does not know
        ],
    },
    FewFiles {
        importer: "cli",
        imported: "traffic",
        files: &[
            "src/cli/doctor/clean.rs", // takes out secrets as the inspector does, and no other way
        ],
    },
    FewFiles {
        importer: "cli",
        imported: "server",
        files: &[
            "src/cli/serve.rs",     // runs it
            "src/cli/bootstrap.rs", // sets its variables, and takes their names from it
        ],
    },
];

struct FewFiles {
    importer: &'static str,
    imported: &'static str,
    files: &'static [&'static str],
}

impl FewFiles {
    fn has(&self, file: &Path) -> bool {
        self.files
            .iter()
            .any(|allowed| file.starts_with(allowed) || file == Path::new(&format!("{allowed}.rs")))
    }
}

#[test]
fn every_import_is_in_the_table_of_layers() {
    let layers = table("module");
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(may) = layers.get(&source.module) else {
            continue;
        };
        for (line, imported) in source.paths_of("crate") {
            if imported == source.module || !layers.contains_key(&imported) {
                continue;
            }
            let starred = format!("{imported}*");
            let is_allowed = may.contains(&imported)
                || may.contains(&starred)
                    && IN_FEW_FILES.iter().any(|few| {
                        few.importer == source.module
                            && few.imported == imported
                            && few.has(&source.file)
                    });
            if !is_allowed {
                wrong.push(format!(
                    "{}:{line} imports crate::{imported}, and {} may import {} (the table is in src/lib.rs)",
                    source.file.display(),
                    source.module,
                    listed(may),
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_with_a_home_is_named_only_there() {
    let homes = table("crate");
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, modules) in &homes {
            if modules.contains(&source.module) {
                continue;
            }
            for line in source.lines_naming(name) {
                wrong.push(format!(
                    "{}:{line} names {name}, whose home is {} (the table is in src/lib.rs)",
                    source.file.display(),
                    listed(modules),
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_row_in_the_table() {
    let declared: BTreeSet<String> = read("src/lib.rs")
        .lines()
        .filter_map(|line| {
            Some(
                line.strip_prefix("pub mod ")?
                    .trim_end_matches(';')
                    .to_owned(),
            )
        })
        .collect();
    let described: BTreeSet<String> = table("module").into_keys().collect();
    assert_eq!(described, declared);
}

#[test]
fn an_import_is_seen_in_every_form_it_can_have() {
    let text = r##"
        //! crate::comment
        use crate::plain::{self, crate_x};
        use crate::{
            first::{inner, deep::{er}}, second, // crate::comment
            third::Word as Other,
        };
        /* crate::comment /* crate::nested */ */
        fn f<'a>(_: &'a str) -> crate::inline::Type { g("crate::string \" ", r#"crate::raw " "#, '"', '\'') }
        pub(crate) fn h() {}
        #[cfg(test)]
        mod tests { use crate::test_only; fn g() { { } } }
        struct Field { #[cfg(test)] pub(crate) fuse: crate::test_only::Fuse, }
        use crate::last;
    "##;
    let source = Source::new("src/some/file.rs".into(), text);
    let seen: Vec<String> = source
        .paths_of("crate")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(
        seen,
        ["plain", "first", "second", "third", "inline", "last"]
    );
    assert_eq!(source.paths_of("crate").last().unwrap().0, 14);
}

#[test]
fn a_file_that_only_tests_have_is_known_by_its_declaration() {
    let source = Source::new(
        "src/plan/mod.rs".into(),
        "mod a;\n#[cfg(test)]\n#[allow(dead_code)]\npub(crate) mod samples;\n#[cfg(test)]\nmod tests;\nmod b;",
    );
    assert_eq!(
        source.test_files,
        [PathBuf::from("src/plan/samples"), "src/plan/tests".into()]
    );
}

/// The rows of the table in `src/lib.rs` whose first column is `name`: the first
/// cell, and the words of the last.
fn table(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = read("src/lib.rs");
    let rows = text
        .lines()
        .map(|line| line.trim_start_matches("//!").trim())
        .skip_while(|line| !line.starts_with(&format!("| {name} ")))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    let table: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let words = |cell: &str| -> BTreeSet<String> {
                cell.split(", ")
                    .map(|word| word.replace(['`', '[', ']'], ""))
                    .filter(|word| word != "-")
                    .collect()
            };
            (
                words(cells[0]).pop_first().unwrap(),
                words(cells[cells.len() - 1]),
            )
        })
        .collect();
    assert!(!table.is_empty(), "src/lib.rs has no table of `{name}`");
    table
}

fn listed(names: &BTreeSet<String>) -> String {
    match names.len() {
        0 => "nothing".to_owned(),
        _ => names.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// All of `src/` but what only tests have.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source::new(path.strip_prefix(root).unwrap().into(), &text));
            }
        }
    }
    let test_files: Vec<PathBuf> = sources
        .iter()
        .flat_map(|source| source.test_files.clone())
        .collect();
    sources.retain(|source| {
        !test_files
            .iter()
            .any(|test| source.file.starts_with(test) || source.file.with_extension("") == *test)
    });
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(
        sources.len() > 50,
        "only {} files under src/",
        sources.len()
    );
    sources
}

/// One file, as the compiler would have it outside of tests.
struct Source {
    file: PathBuf,
    /// The module of the crate that it is in.
    module: String,
    tokens: Vec<Token>,
    /// Modules that it declares for tests only, without the `.rs`.
    test_files: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    line: usize,
    /// A whole word, or one other character.
    text: String,
}

impl Source {
    fn new(file: PathBuf, text: &str) -> Self {
        let module = file
            .components()
            .nth(1)
            .unwrap()
            .as_os_str()
            .to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        let (tokens, test_modules) = without_tests(&tokens(text));
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => file.parent().unwrap().to_owned(),
            _ => file.with_extension(""),
        };
        let test_files = test_modules.iter().map(|name| folder.join(name)).collect();
        Self {
            file,
            module,
            tokens,
            test_files,
        }
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    /// The first names behind `root::`, those of a braced list each.
    fn paths_of(&self, root: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            if !(self.is(at, root) && self.is(at + 1, ":") && self.is(at + 2, ":")) {
                continue;
            }
            let mut at = at + 3;
            if !self.is(at, "{") {
                found.push((self.tokens[at].line, self.tokens[at].text.clone()));
                continue;
            }
            let mut depth = 0;
            loop {
                match self.tokens[at].text.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                let begins = self.is(at, "{") || self.is(at, ",");
                at += 1;
                if depth == 1 && begins && !self.is(at, "}") {
                    found.push((self.tokens[at].line, self.tokens[at].text.clone()));
                }
            }
        }
        found
    }

    /// The lines on which a path begins with `name`.
    fn lines_naming(&self, name: &str) -> Vec<usize> {
        let begins_path = |at: usize| {
            self.is(at, name)
                && (self.is(at + 1, ":") && self.is(at + 2, ":")
                    || at > 0 && self.is(at - 1, "use"))
                && !(at > 1 && self.is(at - 1, ":") && self.is(at - 2, ":"))
        };
        (0..self.tokens.len())
            .filter(|at| begins_path(*at))
            .map(|at| self.tokens[at].line)
            .collect()
    }
}

/// Takes out what stands behind `#[cfg(test)]`, and tells the modules that are in files of their own.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let is = |at: usize, texts: &[&str]| {
        texts.iter().enumerate().all(|(offset, text)| {
            tokens
                .get(at + offset)
                .is_some_and(|token| token.text == *text)
        })
    };
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // To the end of the item: its `;`, or the `}` of its body; of a field, its `,`.
        let name = at
            + 7
            + if is(at + 8, &["(", "crate", ")"]) {
                4
            } else {
                0
            };
        let is_field = is(name + 1, &[":"]) && !is(name + 1, &[":", ":"]);
        let (mut depth, mut is_body) = (0_usize, false);
        loop {
            match tokens[at].text.as_str() {
                "mod" if depth == 0 && is(at + 2, &[";"]) => {
                    modules.push(tokens[at + 1].text.clone())
                }
                "(" | "[" => depth += 1,
                "{" => (depth, is_body) = (depth + 1, is_body || depth == 0),
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            let is_last = tokens[at].text == ";" || is_field && tokens[at].text == ",";
            let ends = depth == 0 && (is_last || is_body);
            at += 1;
            if ends || at == tokens.len() {
                break;
            }
        }
    }
    (kept, modules)
}

/// The words and signs of a Rust file, without comments, texts and characters.
fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            let length = word.max(first.len_utf8());
            if !first.is_whitespace() {
                tokens.push(Token {
                    line,
                    text: rest[..length].to_owned(),
                });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest.chars().next().expect("the comment ends").len_utf8();
        }
        if depth == 0 {
            return at;
        }
    }
}

fn raw_string(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - body.len() + body.find(&end).expect("the text ends") + end.len())
}

fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => _ = characters.next(),
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character in quotes, not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}
