//! Values that may be written in a short and in a long form.
//!
//! Not `#[serde(untagged)]`: that forgets where inside a value an error was, and
//! can only say that no variant matched.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::workspace::{AfterCondition, CaptureMode, Transport, UpstreamProtocol};

/// A list whose items keep their index even where one before them was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Items<T>(Vec<Option<T>>);

impl<T> Items<T> {
    /// Each item with its index in the file.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let items = self.0.iter().enumerate();
        items.filter_map(|(index, item)| item.as_ref().map(|item| (index, item)))
    }
}

impl<T: Clone> Items<T> {
    /// The items alone.
    pub fn to_vec(&self) -> Vec<T> {
        self.0.iter().flatten().cloned().collect()
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Items<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element::<Option<T>>()? {
                    all.push(item);
                }
                Ok(Items(all))
            }
        }
        deserializer.deserialize_seq(Each(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Items<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        <Vec<T>>::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <Vec<T>>::json_schema(generator)
    }
}

/// The visitor method of each kind of value.
macro_rules! visit {
    (text, $variant:path, $type:ty) => {
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok($variant(text.to_owned()))
        }
    };
    (integer, $variant:path, $type:ty) => {
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
            <$type>::try_from(number)
                .map($variant)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
        }
        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
            <$type>::try_from(number)
                .map($variant)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
        }
    };
    (list, $variant:path, $type:ty) => {
        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
            let reader = serde::de::value::SeqAccessDeserializer::new(items);
            <$type>::deserialize(reader).map($variant)
        }
    };
    (table, $variant:path, $type:ty) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            entries: A,
        ) -> Result<Self::Value, A::Error> {
            let reader = serde::de::value::MapAccessDeserializer::new(entries);
            <$type>::deserialize(reader).map($variant)
        }
    };
}

macro_rules! forms {
    ($(
        $(#[$doc:meta])*
        $name:ident, $expecting:literal {
            $($(#[$variant_doc:meta])* $kind:ident => $variant:ident($type:ty)),* $(,)?
        }
    )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, JsonSchema)]
        #[schemars(untagged)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($type)),*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Form;
                impl<'de> Visitor<'de> for Form {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $(visit! { $kind, $name::$variant, $type })*
                }
                deserializer.deserialize_any(Form)
            }
        }
    )* };
}

forms! {
    /// A command: one text, split as a shell splits words, or a list of words.
    Words, "a command: text, or a list of words" {
        /// Split as a shell splits words; no shell runs it.
        text => Line(String),
        /// Each word as it is.
        list => List(Items<String>),
    }

    /// One text, or a list of texts.
    OneOrMany, "text, or a list of texts" {
        /// One.
        text => One(String),
        /// Many.
        list => Many(Items<String>),
    }

    /// Environment: a table, or a list of `NAME=value` (`NAME` alone takes the shell's value).
    Environment, "a table of variables, or a list of \"NAME=value\"" {
        /// By name.
        table => Table(IndexMap<String, Scalar>),
        /// As lines.
        list => List(Items<String>),
    }

    /// A mount: `"source:target[:ro]"` or a table. A source that starts with `.`, `/` or `~` is on the host.
    MountForm, "a mount like \"./src:/src:ro\", or a table" {
        /// `source:target[:ro|rw]`, or `target` for a volume without a name.
        text => Short(String),
        /// In full.
        table => Long(MountTable),
    }

    /// A published port: `5432`, `"15432:5432"`, `"0.0.0.0:53:53/udp"` or a table.
    PortForm, "a port (1 to 65535) like 5432 or \"8080:80\", or a table" {
        /// A port of the container, on a free host port of 127.0.0.1 that stays the same.
        integer => Number(u16),
        /// `[[address:]host:]container[/udp]`.
        text => Short(String),
        /// In full.
        table => Long(PortTable),
    }

    /// A route: the port that it leads to, or a table.
    RouteForm, "a port, or a table with `port`" {
        /// The container's port.
        integer => Port(u16),
        /// The same, as text: for a port from a variable.
        text => Text(String),
        /// In full.
        table => Table(RouteTable),
    }

    /// What must be so before the start: a list of names, or a table of name = condition.
    DependsOn, "a list of names, or a table like { db = \"ready\" }" {
        /// Ready if it has a health check, completed if it is a command, else started.
        list => Names(Items<String>),
        /// With conditions.
        table => Conditions(IndexMap<String, AfterCondition>),
    }

    /// Where a config file goes: a path in the container, or a table.
    ConfigForm, "a path in the container, or a table with `target`" {
        /// The path in the container.
        text => Target(String),
        /// In full.
        table => Table(ConfigTable),
    }

    /// A secret: its name, or a table.
    SecretForm, "the name of a secret, or a table with `name`" {
        /// Its name, which is that of its file under `/run/secrets`, too.
        text => Name(String),
        /// In full.
        table => Table(SecretUseTable),
    }

    /// Commands: one text, or a list in which each item is one command.
    HookForm, "a command, or a list of commands" {
        /// One command.
        text => One(String),
        /// Several, one after the other.
        list => Many(Items<Words>),
    }

    /// Memory file systems: paths, or a table of path = options.
    TmpfsForm, "a path, a list of paths, or a table like { \"/tmp\" = \"size=64m\" }" {
        /// One path.
        text => One(String),
        /// `path[:options]` each.
        list => Many(Items<String>),
        /// Path to options.
        table => Table(IndexMap<String, String>),
    }

    /// A number of bytes, or text with a unit: `"512MiB"`, `"1g"`.
    SizeForm, "a size like \"512MiB\", \"1g\" or a number of bytes" {
        /// Bytes.
        integer => Bytes(u64),
        /// With a unit.
        text => Text(String),
    }

    /// A limit for both, or soft and hard apart.
    UlimitForm, "a whole number, or a table with `soft` and `hard`" {
        /// Soft and hard.
        integer => Both(i64),
        /// Apart.
        table => Apart(UlimitTable),
    }

    /// Permission bits: `0o644`, or `"0644"`.
    ModeForm, "permission bits like \"0644\" or 0o644" {
        /// As TOML writes octal: `0o644`.
        integer => Bits(u32),
        /// Octal digits.
        text => Text(String),
    }

    /// A device: `"host[:container[:rwm]]"`, or a table.
    DeviceForm, "a device like \"/dev/fuse\", or a table" {
        /// `host[:container[:rwm]]`.
        text => Short(String),
        /// In full.
        table => Long(DeviceTable),
    }
}

/// A value that ends up as text: text, a whole number, or true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number, `true` or `false`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            // 1.20 would silently become 1.2.
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Scalar, E> {
                Err(E::invalid_type(
                    serde::de::Unexpected::Float(number),
                    &"text in quotes (a number with a point could change: 1.20 is 1.2)",
                ))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

/// A duration, as text with a unit: `"500ms"`, `"2s"`, `"1m30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub std::time::Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = DurationText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(super::units::DURATION)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationText, E> {
                super::units::duration(text)
                    .map(DurationText)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^([0-9.]+(ns|us|µs|ms|s|m|h|d) ?)+$|\$\{" })
    }
}

/// A mount in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountTable {
    /// A host path (starts with `.`, `/` or `~`) or a volume's name; none for a volume without a name.
    pub source: Option<String>,
    /// Where, in the container: absolute.
    pub target: String,
    /// Not writable in the container.
    #[serde(default)]
    pub read_only: bool,
}

/// A published port in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortTable {
    /// The port in the container.
    pub container: u16,
    /// The port on the host; without one, a free one that stays the same.
    pub host: Option<u16>,
    /// The host's address: `127.0.0.1` unless said otherwise.
    pub address: Option<String>,
    /// `tcp` or `udp`.
    #[serde(default)]
    pub transport: Transport,
}

/// A route in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// The container's port.
    pub port: u16,
    /// Further host names; the service's own is always there.
    pub hosts: Option<OneOrMany>,
    /// Only paths that start with this, on a segment's end.
    pub path: Option<String>,
    /// What the container speaks: `http`, `h2c` or `grpc`.
    #[serde(default)]
    pub protocol: UpstreamProtocol,
    /// Also takes what no other route of the workspace does.
    #[serde(default)]
    pub default: bool,
    /// What the inspector keeps of its requests: `redacted` (no secrets), `unredacted` (in memory only, for replays that need them) or `off`.
    #[serde(default)]
    pub capture: CaptureMode,
    /// How long a request waits for a service that is starting before it is told so: 30 s unless
    /// said otherwise, `"0s"` for not at all.
    pub hold: Option<DurationText>,
}

/// A config file in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigTable {
    /// Where, in the container: absolute.
    pub target: String,
    /// Permission bits: `"0644"` unless said otherwise.
    pub mode: Option<ModeForm>,
    /// The number of the user who owns it: root's, 0, unless said otherwise.
    pub uid: Option<u32>,
    /// The number of the group that owns it: 0 unless said otherwise.
    pub gid: Option<u32>,
    /// How the process comes to read another content: a signal like `"SIGHUP"`, or
    /// `"restart"`. The container stays then; without one it is replaced.
    pub reload: Option<String>,
}

/// How a container gets a secret, in full.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretUseTable {
    /// Which of `[secrets]`.
    pub name: String,
    /// Its file: a name under `/run/secrets`, or an absolute path. Its name unless said otherwise.
    pub target: Option<String>,
    /// Permission bits: `"0444"` unless said otherwise.
    pub mode: Option<ModeForm>,
    /// The number of the user who owns it: root's, 0, unless said otherwise.
    pub uid: Option<u32>,
    /// The number of the group that owns it: 0 unless said otherwise.
    pub gid: Option<u32>,
}

/// Two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UlimitTable {
    /// What a process gets.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

/// A device in full.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceTable {
    /// Path on the host.
    pub host: String,
    /// Path in the container, if another.
    pub container: Option<String>,
    /// `r`, `w` and `m` in any mix: all of them unless said otherwise.
    pub permissions: Option<String>,
}
