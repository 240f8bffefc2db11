//! Completion in real shells. Bash is everywhere; the others are `programs::`.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::Terminal;

const SHOP: &str = "[images.api]\nbuild = {}\n\
    [services.web]\nimage = \"nginx:alpine\"\nreplicas = 2\n\
    [services.worker]\nimage = \"api\"\nprofiles = [\"full\"]\n\
    [services.db]\nimage = \"postgres:16\"\n\
    [commands.migrate]\nimage = \"api\"\nrun = \"true\"\n";

/// Names that a shell would run, expand or take for several, if it were let.
const HOSTILE: &str = "[services.\"$(touch pwned)\"]\nimage = \"`touch pwned`\"\n\
    [services.\"w;touch pwned\"]\n[services.\"w'\\\"x\"]\n[services.\"w\\ntouch pwned\"]\n\
    [services.\"~\"]\n[services.\"*\"]\n[services.\"w|x\"]\n[services.\":files\"]\n\
    [services.web]\nimage = \"x\"\nprofiles = [\"$(touch pwned)\", \"{a,b}\", \"dev\"]\n";

/// A folder with a config, and with `cosmos` where a shell finds it.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cosmos.toml"), config).unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A program that sees this folder, and no engine, and nobody's settings.
    fn command(&self, program: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_cosmos")).parent().unwrap();
        let paths = env::var_os("PATH").unwrap();
        let paths = [programs.to_owned()]
            .into_iter()
            .chain(env::split_paths(&paths));
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::join_paths(paths).unwrap())
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .env("DOCKER_HOST", "unix:///nowhere.sock")
            .env("COSMOS_INSTALLATION", "nowhere")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// What a shell's script prints; it must say nothing else.
    fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A shell at a terminal.
    fn shell(&self, arguments: &[&str]) -> Terminal {
        Terminal::open(self.command("setsid").arg("--ctty").args(arguments))
    }

    fn is_untouched(&self) -> bool {
        !self.path().join("pwned").exists()
    }
}

mod bash {
    use super::*;

    /// What bash has to put in, on one line. `words` are those that bash makes of the line.
    fn completed(folder: &Folder, line: Option<&str>, words: &[&str]) -> String {
        const SCRIPT: &str = "source <(cosmos completions bash)\n\
            COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n\
            [[ -z $LINE ]] || { COMP_LINE=$LINE COMP_POINT=${#LINE}; }\n\
            _cosmos\n\
            printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = folder
            .command("bash")
            .args(["--norc", "--noprofile", "-c", SCRIPT, "bash"])
            .args(words)
            .env("LINE", line.unwrap_or_default())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.trim_end().replace('\n', " ")
    }

    #[test]
    fn names_are_those_of_the_config_here() {
        let folder = Folder::new(SHOP);
        for (words, expected) in [
            (&["cosmos", "st"][..], "status start stop state"),
            (&["cosmos", "logs", ""], "web worker db"),
            (&["cosmos", "logs", "web", "w"], "worker"),
            (&["cosmos", "run", ""], "migrate"),
            (&["cosmos", "build", ""], "api"),
            (&["cosmos", "up", "--profile", ""], "full"),
            (&["cosmos", "scale", "w"], "web= worker="),
            (&["cosmos", "wait", "--for", "re"], "ready"),
            (&["cosmos", "help", "ex"], "exec exit-codes"),
            (&["cosmos", "-f", "no"], "notes.txt"),
            (&["cosmos", "exec", "web", ""], ""),
            (&["cosmos", "nonsense", ""], ""),
        ] {
            assert_eq!(completed(&folder, None, words), expected, "{words:?}");
        }
    }

    /// Only what is behind the cut is put in.
    #[test]
    fn a_word_that_bash_cuts_is_completed_behind_the_cut() {
        let folder = Folder::new(SHOP);
        for (line, words, expected) in [
            (
                "cosmos scale web=",
                &["cosmos", "scale", "web", "="][..],
                "0 1 2 3 4 5",
            ),
            (
                "cosmos scale web=3",
                &["cosmos", "scale", "web", "=", "3"],
                "3",
            ),
            (
                "cosmos --progress=pl",
                &["cosmos", "--progress", "=", "pl"],
                "plain",
            ),
            (
                "cosmos start nginx:al",
                &["cosmos", "start", "nginx", ":", "al"],
                "alpine",
            ),
            (
                "cosmos start nginx:",
                &["cosmos", "start", "nginx", ":"],
                "alpine",
            ),
            (
                "cosmos http service:w",
                &["cosmos", "http", "service", ":", "w"],
                "web worker",
            ),
            (
                "cosmos up --file=no",
                &["cosmos", "up", "--file", "=", "no"],
                "notes.txt",
            ),
            ("cosmos  logs   w", &["cosmos", "logs", "w"], "web worker"),
        ] {
            assert_eq!(completed(&folder, Some(line), words), expected, "{line}");
            assert_eq!(completed(&folder, None, words), expected, "{words:?}");
        }
    }

    #[test]
    fn a_config_that_is_not_valid_breaks_nothing() {
        let folder = Folder::new("[services.web]\nimage = \n[services.db]\nx = 1\n");
        assert_eq!(completed(&folder, None, &["cosmos", "up", ""]), "web db");
        fs::write(folder.path().join("cosmos.toml"), [0xff, 0xfe, 0]).unwrap();
        assert_eq!(completed(&folder, None, &["cosmos", "up", ""]), "");
        assert_eq!(
            completed(&folder, None, &["cosmos", "sta"]),
            "status start state"
        );
    }

    #[test]
    fn a_name_that_would_be_run_is_neither_offered_nor_run() {
        let folder = Folder::new(HOSTILE);
        for words in [
            &["cosmos", "up", ""][..],
            &["cosmos", "logs", "$(touch pwned)"],
            &["cosmos", "logs", "w;touch pwned"],
        ] {
            let _ = completed(&folder, None, words);
        }
        assert_eq!(completed(&folder, None, &["cosmos", "up", ""]), "web");
        assert_eq!(
            completed(&folder, None, &["cosmos", "up", "--profile", ""]),
            "dev"
        );
        assert!(folder.is_untouched());
    }

    #[test]
    fn tab_completes_at_a_terminal() {
        let folder = Folder::new(SHOP);
        let mut shell = folder.shell(&["bash", "--norc", "--noprofile", "-i"]);
        shell.type_line("PS1='ready> '; bind 'set enable-bracketed-paste off'; source <(cosmos completions bash); echo on''set");
        shell.expect("onset");
        shell.expect("ready> ");
        shell.press(b"echo 1; cosmos exec wo\t");
        shell.expect("exec worker ");
        shell.press(b"\x15cosmos scale db=\x1b[D\x1b[C\t\t");
        shell.expect("0  1  2  3  4  5");
        shell.press(b"\x15cosmos -f not\t");
        shell.expect("notes.txt ");
        shell.press(b"\x15exit\r");
        let _ = shell.expect_end();
    }
}

/// With other people's programs.
mod programs {
    use super::*;

    /// Zsh at a terminal. Of `cosmos` it only tells how it would be called: what is asked
    /// for completion is the command, which the function does not hide.
    fn zsh(folder: &Folder) -> Terminal {
        let mut shell = folder.shell(&["zsh", "-f", "-i"]);
        shell.type_line("autoload -Uz compinit; compinit -D -u");
        shell.type_line("source <(command cosmos completions zsh)");
        shell.type_line("cosmos() { print -r -- \"ca\"lled: $@. }; echo on\"\"set");
        shell.expect("onset");
        shell
    }

    #[test]
    fn zsh_completes_at_a_terminal() {
        let folder = Folder::new(SHOP);
        let mut shell = zsh(&folder);
        for (keys, called) in [
            ("exec wo\tsh", "exec worker sh"),
            ("scale d\t3", "scale db=3"),
            ("start nginx:a\tsh", "start nginx:alpine sh"),
            ("--progress=pl\tup", "--progress=plain up"),
            ("-f no\tup", "-f notes.txt up"),
            ("up --file=no\tdb", "up --file=notes.txt db"),
            ("exec \"wo\t sh", "exec worker sh"),
        ] {
            shell.type_line(&format!("cosmos {keys}"));
            shell.expect(&format!("called: {called}."));
        }
        // Several fit: they are shown, with what they are.
        shell.press(b"cosmos logs \t");
        shell.expect("worker");
        shell.expect("-- service");
        shell.press(b"\x15exit\r");
        let _ = shell.expect_end();
    }

    #[test]
    fn zsh_runs_nothing_of_a_name() {
        let folder = Folder::new(HOSTILE);
        let mut shell = zsh(&folder);
        shell.type_line("cosmos up w\tdb");
        shell.expect("called: up web db.");
        shell.type_line("cosmos up --profile \tdb");
        shell.expect("called: up --profile dev db.");
        shell.press(b"\x15exit\r");
        let _ = shell.expect_end();
        assert!(folder.is_untouched());
    }

    #[test]
    fn zsh_finds_it_in_its_path_of_functions() {
        let folder = Folder::new(SHOP);
        let functions = folder.path().join("functions");
        fs::create_dir(&functions).unwrap();
        let script = folder.output("cosmos", &["completions", "zsh"]);
        fs::write(functions.join("_cosmos"), script).unwrap();
        let mut shell = folder.shell(&["zsh", "-f", "-i"]);
        shell.type_line("fpath=(~/functions $fpath); autoload -Uz compinit; compinit -D -u");
        shell.type_line("cosmos() { print -r -- \"ca\"lled: $@. }; echo on\"\"set");
        shell.expect("onset");
        // The first Tab reads the file, and completes already.
        shell.type_line("cosmos exec wo\tsh");
        shell.expect("called: exec worker sh.");
        shell.press(b"\x15exit\r");
        let _ = shell.expect_end();
    }

    fn fish(folder: &Folder, line: &str) -> String {
        let script = format!("cosmos completions fish | source; complete -C '{line}'");
        let output = folder.output("fish", &["--no-config", "-c", &script]);
        output.trim_end().replace('\n', " | ")
    }

    #[test]
    fn fish_completes() {
        let folder = Folder::new(SHOP);
        for (line, expected) in [
            (
                "cosmos exec ",
                "web\tservice | worker\tservice | db\tservice",
            ),
            ("cosmos run ", "migrate\tcommand"),
            ("cosmos up --profile ", "full\tprofile"),
            (
                "cosmos wait --for re",
                "ready\tEvery replica is ready, as `health` says",
            ),
            ("cosmos -f no", "notes.txt"),
            ("cosmos up --file=no", "--file=notes.txt"),
            ("cosmos exec web ", ""),
        ] {
            assert_eq!(fish(&folder, line), expected, "{line}");
        }
        assert!(fish(&folder, "cosmos scale web=").contains("web=2\tas many as the config says"));
        assert!(fish(&folder, "cosmos st").starts_with("status\tShow how everything is"));
    }

    #[test]
    fn fish_runs_nothing_of_a_name() {
        let folder = Folder::new(HOSTILE);
        assert_eq!(fish(&folder, "cosmos up "), "web\tservice");
        assert_eq!(fish(&folder, "cosmos up --profile "), "dev\tprofile");
        assert!(folder.is_untouched());
    }
}
