//! As much of a Dockerfile as is asked of it here: the images that a build begins
//! with, and the line of a step that failed.
//!
//! The builder is the judge of a Dockerfile. What makes no sense to this reader
//! is passed over, and then an image is not pulled ahead, or a line not named.

use std::collections::BTreeSet;

use indexmap::IndexMap;

/// A Dockerfile that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// `ARG`s before the first stage.
    global: Vec<Instruction>,
    stages: Vec<Stage>,
}

/// From one `FROM` to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    /// In lower case, as builders compare it.
    name: Option<String>,
    /// The `FROM` itself, and all that follows it.
    instructions: Vec<Instruction>,
}

/// One instruction, its lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    /// Where it begins, from 1.
    line: usize,
    /// In upper case.
    keyword: String,
    /// What follows, with single spaces.
    rest: String,
}

impl Dockerfile {
    /// Reads a Dockerfile, as far as it makes sense.
    pub fn parse(text: &str) -> Self {
        let mut dockerfile = Self::default();
        for instruction in instructions(text) {
            if instruction.keyword == "FROM" {
                dockerfile.stages.push(Stage {
                    name: instruction.stage_name(),
                    instructions: vec![instruction],
                });
            } else if let Some(stage) = dockerfile.stages.last_mut() {
                stage.instructions.push(instruction);
            } else {
                dockerfile.global.push(instruction);
            }
        }
        dockerfile
    }

    /// How many stages it has.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The images that a build of `target`, or of the last stage, begins with or
    /// copies from. One that only a variable of the builder's names is left out.
    pub fn bases(&self, target: Option<&str>, args: &IndexMap<String, String>) -> Vec<String> {
        let last = self.stages.len().checked_sub(1);
        let Some(goal) = (match target {
            Some(target) => self.stage(target, self.stages.len()),
            None => last,
        }) else {
            return Vec::new();
        };
        let globals = self.globals(args);
        let mut bases = Vec::new();
        let mut seen = BTreeSet::new();
        let mut needed = vec![goal];
        while let Some(at) = needed.pop() {
            let Some(stage) = self.stages.get(at).filter(|_| seen.insert(at)) else {
                continue;
            };
            for source in stage.sources(&globals) {
                match self.stage(&source, at) {
                    Some(earlier) => needed.push(earlier),
                    None if source == "scratch" || bases.contains(&source) => {}
                    None => bases.push(source),
                }
            }
        }
        bases
    }

    /// The stage before `end` that a name or number means.
    fn stage(&self, name: &str, end: usize) -> Option<usize> {
        let lower = name.to_lowercase();
        let before = self.stages.get(..end)?;
        before
            .iter()
            .rposition(|stage| stage.name.as_deref() == Some(&lower))
            .or_else(|| name.parse().ok().filter(|at| *at < end))
    }

    /// The variables that `FROM` lines may use.
    fn globals(&self, args: &IndexMap<String, String>) -> IndexMap<String, String> {
        let mut globals = IndexMap::new();
        let declared = self.global.iter().filter(|it| it.keyword == "ARG");
        for word in declared.flat_map(|it| it.rest.split(' ')) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => {
                    (name, expanded(default.trim_matches(['"', '\'']), &globals))
                }
                None => (word, None),
            };
            if let Some(value) = args.get(name).cloned().or(default) {
                globals.insert(name.to_owned(), value);
            }
        }
        globals
    }

    /// The line of the step that a builder counts so: BuildKit by stages, and only
    /// what makes a layer; the classic one everything from the first line on.
    pub fn line_of(&self, stage: Option<&str>, number: u32, name: &str) -> Option<usize> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let in_stage = self.named_stage(stage).and_then(|stage| {
            let mut layers = stage.instructions.iter().filter(|it| self.is_layer(it));
            layers.nth(at)
        });
        // Only BuildKit names stages.
        let in_all = stage.is_none().then(|| self.all().nth(at)).flatten();
        let candidates = [in_stage, in_all];
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let name = words(name);
        let has_name = |it: &&Instruction| words(&format!("{} {}", it.keyword, it.rest)) == name;
        // Builders show some variables by their values: then the keyword must do.
        let has_keyword = |it: &&Instruction| name.first().is_some_and(|word| *word == it.keyword);
        let candidates = || candidates.iter().flatten().copied();
        candidates()
            .find(has_name)
            .or_else(|| self.all().find(has_name))
            .or_else(|| candidates().find(has_keyword))
            .map(|it| it.line)
    }

    fn all(&self) -> impl Iterator<Item = &Instruction> {
        let staged = self.stages.iter().flat_map(|stage| &stage.instructions);
        self.global.iter().chain(staged)
    }

    /// The stage that BuildKit calls so: `dev`, `stage-1`, or nothing if there is one.
    fn named_stage(&self, name: Option<&str>) -> Option<&Stage> {
        let Some(name) = name else {
            return self.stages.last();
        };
        // Behind a platform, if there is one: `linux/amd64 dev`.
        let name = name.rsplit(' ').next().unwrap_or(name);
        let numbered = || {
            self.stages
                .get(name.strip_prefix("stage-")?.parse::<usize>().ok()?)
        };
        let at = self.stage(name, self.stages.len());
        at.and_then(|at| self.stages.get(at)).or_else(numbered)
    }

    /// Whether BuildKit counts it.
    fn is_layer(&self, instruction: &Instruction) -> bool {
        match instruction.keyword.as_str() {
            "RUN" | "COPY" | "ADD" | "WORKDIR" => true,
            // Not if it goes on from nothing, or from another stage.
            "FROM" => instruction.image().is_some_and(|image| {
                image != "scratch" && self.stage(image, self.stages.len()).is_none()
            }),
            _ => false,
        }
    }
}

impl Stage {
    /// What its files are from: images, stages or their numbers.
    fn sources(&self, globals: &IndexMap<String, String>) -> Vec<String> {
        let own = |it: &Instruction| match it.keyword.as_str() {
            "FROM" if it.is_of_this_platform() => vec![it.image().unwrap_or_default().to_owned()],
            "COPY" => it.flags("from").map(str::to_owned).collect(),
            "RUN" => it
                .flags("mount")
                .flat_map(|mount| mount.split(','))
                .filter_map(|part| part.strip_prefix("from="))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        self.instructions
            .iter()
            .flat_map(own)
            .filter_map(|source| expanded(&source, globals))
            .filter(|source| !source.is_empty())
            .collect()
    }
}

impl Instruction {
    /// The values of its flags of a name: `--from=x`. Flags stand first.
    fn flags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.rest
            .split(' ')
            .take_while(|word| word.starts_with("--"))
            .filter_map(move |word| {
                word.strip_prefix("--")?
                    .strip_prefix(name)?
                    .strip_prefix('=')
            })
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.rest.split(' ').filter(|word| !word.starts_with("--"))
    }

    /// Of a `FROM`: what it goes on from.
    fn image(&self) -> Option<&str> {
        self.words().next()
    }

    /// Of a `FROM`: `AS dev`.
    fn stage_name(&self) -> Option<String> {
        let mut words = self.words().skip(1);
        let is_as = words.next()?.eq_ignore_ascii_case("as");
        is_as.then(|| words.next().map(str::to_lowercase))?
    }

    /// Of a `FROM`: whether a plain pull gets what it names.
    fn is_of_this_platform(&self) -> bool {
        self.flags("platform").all(|platform| {
            let name = platform.trim_start_matches('$').trim_matches(['{', '}']);
            matches!(name, "BUILDPLATFORM" | "TARGETPLATFORM")
        })
    }
}

/// A text with its variables in place; none if one is not known.
fn expanded(text: &str, variables: &IndexMap<String, String>) -> Option<String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        let (variable, behind) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?,
            None => {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let end = after.find(|letter| !is_part(letter)).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        let value = variables.get(name).map(String::as_str);
        done.push_str(value.filter(|value| !value.is_empty()).or(default)?);
        rest = behind;
    }
    done.push_str(rest);
    Some(done)
}

/// The instructions of a Dockerfile, their lines joined, comments left out.
fn instructions(text: &str) -> Vec<Instruction> {
    let escape = escape_of(text);
    let mut found = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if is_comment(line) || line.trim().is_empty() {
            continue;
        }
        let mut joined = String::new();
        let mut part = Some(line);
        while let Some(line) = part {
            // Comments and empty lines may stand between the parts.
            let is_between = !joined.is_empty() && (is_comment(line) || line.trim().is_empty());
            if !is_between {
                match line.trim_end().strip_suffix(escape) {
                    Some(begun) => joined.push_str(begun),
                    None => {
                        joined.push_str(line);
                        break;
                    }
                }
                joined.push(' ');
            }
            part = lines.next().map(|(line, _)| line);
        }
        let mut words = joined.split_whitespace();
        let keyword = words.next().unwrap_or_default().to_uppercase();
        let rest = words.collect::<Vec<_>>().join(" ");
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for end in heredocs(&rest) {
                // To its last line, or to the end of the file.
                let _ = lines.find(|(line, _)| line.trim_start_matches('\t') == end);
            }
        }
        found.push(Instruction {
            line: number,
            keyword,
            rest,
        });
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The letter that joins lines: `# escape=` at the top changes it.
fn escape_of(text: &str) -> char {
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some((key, value)) = line
            .trim_start()
            .strip_prefix('#')
            .and_then(|directive| directive.split_once('='))
        else {
            break;
        };
        if key.trim().eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

/// The words that end the texts which begin after this line: `<<EOF`.
fn heredocs(rest: &str) -> Vec<String> {
    rest.split(' ')
        .filter_map(|word| {
            word.trim_start_matches(|c: char| c.is_ascii_digit())
                .strip_prefix("<<")
        })
        .map(|word| word.trim_start_matches('-').trim_matches(['"', '\'']))
        .filter(|word| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bases(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Vec<String> {
        let args = args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Dockerfile::parse(text).bases(target, &args)
    }

    #[test]
    fn a_build_begins_with_what_its_stages_are_from() {
        let text = "# syntax=docker/dockerfile:1\n\
            ARG TAG=1 OTHER=${TAG}-x\n\
            FROM build:${TAG} AS Build\n\
            COPY --from=tools:2 /t /t\n\
            RUN --mount=type=bind,from=mounted,target=/m make\n\
            FROM build as test\n\
            FROM unused:$OTHER AS unused\n\
            FROM scratch\n\
            copy --chown=1 --from=build / /\n\
            COPY --from=0 / /\n";
        assert_eq!(bases(text, None, &[]), ["build:1", "tools:2", "mounted"]);
        assert_eq!(bases(text, Some("test"), &[("TAG", "7")])[0], "build:7");
        assert_eq!(bases(text, Some("unused"), &[]), ["unused:1-x"]);
        assert_eq!(bases(text, Some("nothing"), &[]), [""; 0]);
    }

    #[test]
    fn what_only_the_builder_knows_is_left_to_it() {
        assert_eq!(bases("FROM a:$NOPE", None, &[]), [""; 0]);
        assert_eq!(bases("ARG A\nFROM a:${A:-1}", None, &[]), ["a:1"]);
        assert_eq!(bases("FROM --platform=linux/arm64 a", None, &[]), [""; 0]);
        assert_eq!(bases("FROM --platform=$BUILDPLATFORM a", None, &[]), ["a"]);
        assert_eq!(bases("", None, &[]), [""; 0]);
    }

    const TWO_STAGES: &str = "ARG V=1\n\
        FROM a AS one\n\
        ENV X=1\n\
        # a comment\n\
        RUN first \\\n\
        \x20 # inside\n\
        \n\
        \x20 second\n\
        FROM b\n\
        WORKDIR /w\n\
        COPY --from=one / /\n\
        RUN <<EOF\n\
        RUN not an instruction\n\
        EOF\n\
        RUN echo $V\n";

    #[test]
    fn a_step_of_buildkits_is_found_by_stage_and_layer() {
        let dockerfile = Dockerfile::parse(TWO_STAGES);
        assert_eq!(dockerfile.stages(), 2);
        for (stage, number, name, line) in [
            (Some("one"), 1, "FROM docker.io/library/a", 2),
            (Some("one"), 2, "RUN first   second", 5),
            (Some("stage-1"), 2, "WORKDIR /w", 10),
            (Some("linux/amd64 stage-1"), 3, "COPY --from=one / /", 11),
            // Its variable has a value by now.
            (Some("stage-1"), 5, "RUN echo 1", 15),
        ] {
            let found = dockerfile.line_of(stage, number, name);
            assert_eq!(found, Some(line), "{stage:?} {number} {name}");
        }
        assert_eq!(dockerfile.line_of(Some("one"), 9, "RUN nope"), None);
        assert_eq!(dockerfile.line_of(None, 0, "RUN nope"), None);
    }

    #[test]
    fn a_step_of_the_classic_builders_is_found_by_its_number() {
        let dockerfile = Dockerfile::parse(TWO_STAGES);
        for (number, name, line) in [
            (1, "ARG V=1", 1),
            (4, "RUN first   second", 5),
            (9, "RUN echo 1", 15),
        ] {
            let found = dockerfile.line_of(None, number, name);
            assert_eq!(found, Some(line), "{number} {name}");
        }
    }

    #[test]
    fn a_stage_that_goes_on_from_another_has_no_layer_for_its_from() {
        let dockerfile = Dockerfile::parse("FROM a AS one\nFROM one AS two\nRUN x $Y\n");
        assert_eq!(dockerfile.line_of(Some("two"), 1, "RUN x 1"), Some(3));
    }

    #[test]
    fn lines_may_be_joined_by_another_letter() {
        let dockerfile = Dockerfile::parse("# escape=`\nFROM a\nRUN x `\n y\nRUN z \\\n");
        assert_eq!(dockerfile.line_of(None, 2, "RUN x y"), Some(3));
        assert_eq!(dockerfile.line_of(None, 3, r"RUN z \"), Some(5));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(
            text in "(?s)([A-Z]{3,4}| |\n|\\\\|<<|--from=|\\$\\{|:-|\\}|=|#|a|0|.){0,60}",
            number: u32,
        ) {
            let dockerfile = Dockerfile::parse(&text);
            let _ = dockerfile.bases(Some("0"), &IndexMap::new());
            let _ = dockerfile.bases(None, &IndexMap::new());
            let _ = dockerfile.line_of(Some("stage-0"), number, &text);
            let _ = dockerfile.line_of(None, number % 4, &text);
        }
    }
}
