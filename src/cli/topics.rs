//! What there is help about beside the verbs: `cosmos help exit-codes`, and the sections
//! of the manual pages that are made of the same.

/// Something that is the same for all verbs.
#[derive(Debug)]
pub(super) struct Topic {
    /// As it is asked for.
    pub(super) name: &'static str,
    /// The heading of its section in a manual page.
    pub(super) section: &'static str,
    pub(super) about: &'static str,
    /// What there is, and what it means.
    pub(super) rows: &'static [(&'static str, &'static str)],
    /// What else is to say.
    pub(super) note: &'static str,
}

/// In the order of the sections of a manual page.
pub(super) const TOPICS: [&Topic; 3] = [&EXIT_CODES, &FILES, &ENVIRONMENT];

const EXIT_CODES: Topic = Topic {
    name: "exit-codes",
    section: "EXIT STATUS",
    about: "What an exit code says",
    rows: &[
        ("0", "Done."),
        ("1", "Failed: it was tried, and did not work."),
        ("2", "Wrong usage, or an invalid config."),
        ("3", "Changes are pending (plan --exit-code)."),
        ("126", "What exec, run or start was to run cannot be run."),
        ("127", "What exec, run or start was to run is not there."),
        ("130", "Interrupted."),
        ("141", "Nobody reads the output any more."),
    ],
    note: "exec, run and start IMAGE COMMAND exit with the code of what they ran.",
};

const FILES: Topic = Topic {
    name: "files",
    section: "FILES",
    about: "The files that are read and kept",
    rows: &[
        (
            "cosmos.toml",
            "The config: what makes a folder a workspace. It is searched upwards from the current folder.",
        ),
        (
            "cosmos.local.toml",
            "Beside it: what is one person's own, over what cosmos.toml says.",
        ),
        (
            ".env",
            "Beside it: variables for ${VAR} in it. The shell's environment wins.",
        ),
        (
            "$XDG_CONFIG_HOME/cosmos/config.toml",
            "What all workspaces of a person share: [proxy] and [network]. Else in ~/.config.",
        ),
        (
            "$XDG_CACHE_HOME/cosmos/",
            "Where the proxy was last, and the token that opens it. Else in ~/.cache. It can be removed at any time.",
        ),
        (
            "$XDG_STATE_HOME/cosmos/trust.json",
            "Which projects are trusted with what reaches the host. Else in ~/.local/state.",
        ),
        (
            "~/.docker/config.json",
            "Docker's context, and the logins of registries.",
        ),
    ],
    note: "What the proxy remembers is in the volume cosmos-state; cosmos state backup copies it.",
};

const ENVIRONMENT: Topic = Topic {
    name: "environment",
    section: "ENVIRONMENT",
    about: "The variables that are read",
    rows: &[
        (
            "DOCKER_HOST",
            "The engine: unix:///path/to/docker.sock. Else Docker's current context, else the usual sockets.",
        ),
        (
            "DOCKER_CONTEXT",
            "The Docker context, if not the current one.",
        ),
        (
            "DOCKER_CONFIG",
            "The folder of Docker's config.json, if not ~/.docker.",
        ),
        (
            "DOCKER_BUILDKIT",
            "0 builds with the classic builder, 1 insists on BuildKit. Else the engine says which it has.",
        ),
        ("COSMOS_INSTANCE", "What --instance says."),
        (
            "COSMOS_PROFILES",
            "What --profile switches on, with commas between.",
        ),
        (
            "COSMOS_PROXY_PORT",
            "The port of the host for a proxy that is made now: 8080.",
        ),
        (
            "COSMOS_PROXY_IMAGE",
            "The image for a proxy that is made now.",
        ),
        (
            "COSMOS_SERVICES__WEB__REPLICAS",
            "Any key of the config, over what the files say: its names, with __ between.",
        ),
        (
            "COSMOS_INSTALLATION",
            "Names a second, separate proxy with its network and state: cosmos.",
        ),
        ("NO_COLOR", "Set to anything: no colours."),
        ("BROWSER", "What opens the dashboard."),
        (
            "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME",
            "Where files are kept: cosmos help files.",
        ),
    ],
    note: "",
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The first cells of the rows behind a heading of docs/verbs.md.
    fn documented(heading: &str) -> Vec<String> {
        let text = include_str!("../../docs/verbs.md");
        let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section
            .lines()
            .filter(|line| line.starts_with("| "))
            .skip(1);
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        cells
            .flat_map(|cell| cell.split(','))
            .map(|cell| cell.replace("..", "").replace('`', "").trim().to_owned())
            .collect()
    }

    fn told(topic: &Topic) -> String {
        let names: Vec<_> = topic.rows.iter().map(|(name, _)| *name).collect();
        format!(" {} ", names.join(" ").replace(',', ""))
    }

    #[test]
    fn what_the_documents_list_is_told_here_too() {
        for (heading, topic) in [("Exit codes", &EXIT_CODES), ("Variables", &ENVIRONMENT)] {
            let documented = documented(heading);
            assert!(documented.len() > 5, "{documented:?}");
            for name in documented {
                assert!(told(topic).contains(&format!(" {name} ")), "{name}");
            }
        }
    }
}
