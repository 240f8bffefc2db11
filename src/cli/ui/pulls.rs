//! How pulls look: what is there of an image, layer by layer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::size;

/// How often it is a line how far a long pull is, where nothing is drawn anew.
const OFTEN: Duration = Duration::from_secs(10);

/// The images on their way.
#[derive(Default)]
pub(super) struct Pulls {
    known: HashMap<String, Pull>,
}

struct Pull {
    told: Instant,
    layers: HashMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    /// Bytes that came, of how many.
    bytes: (u64, u64),
    /// It is unpacked, too.
    is_there: bool,
}

impl Pulls {
    /// Takes what an engine says of a layer, and says how far the image is.
    pub(super) fn layer(
        &mut self,
        image: &str,
        id: &str,
        status: &str,
        bytes: (u64, u64),
    ) -> String {
        let pull = self.pull(image, Instant::now());
        pull.take(id, status, bytes);
        pull.shown(image)
    }

    /// The same, as a line for where nothing is drawn anew; none if it is not worth one.
    pub(super) fn line(
        &mut self,
        image: &str,
        id: &str,
        status: &str,
        bytes: (u64, u64),
        now: Instant,
    ) -> Option<String> {
        let is_new = !self.known.contains_key(image);
        let pull = self.pull(image, now);
        pull.take(id, status, bytes);
        if is_new {
            return Some(format!("{image}: pulling"));
        }
        if now.duration_since(pull.told) < OFTEN {
            return None;
        }
        pull.told = now;
        Some(pull.shown(image))
    }

    /// An image is there, or none of them is any more on its way.
    pub(super) fn end(&mut self, image: Option<&str>) {
        match image {
            Some(image) => drop(self.known.remove(image)),
            None => self.known.clear(),
        }
    }

    fn pull(&mut self, image: &str, now: Instant) -> &mut Pull {
        self.known.entry(image.to_owned()).or_insert_with(|| Pull {
            told: now,
            layers: HashMap::new(),
        })
    }
}

impl Pull {
    /// As engines have it since API 1.24: bytes only while something moves, and words for
    /// what that is. What they say of the whole image is told under its tag.
    fn take(&mut self, id: &str, status: &str, bytes: (u64, u64)) {
        if status.starts_with("Pulling from ") {
            return;
        }
        let layer = self.layers.entry(id.to_owned()).or_default();
        match status {
            "Downloading" => layer.bytes = bytes,
            "Already exists" | "Pull complete" => {
                layer.bytes.0 = layer.bytes.1;
                layer.is_there = true;
            }
            "Verifying Checksum" | "Download complete" | "Extracting" => {
                layer.bytes.0 = layer.bytes.1;
            }
            _ => {}
        }
    }

    /// `nginx:alpine: 3.1 MB of 12.0 MB, 2 of 7 layers`.
    fn shown(&self, image: &str) -> String {
        let layers = self.layers.values();
        let (current, total) = layers.fold((0, 0), |(current, total), layer| {
            (
                u64::saturating_add(current, layer.bytes.0),
                u64::saturating_add(total, layer.bytes.1),
            )
        });
        let there = self.layers.values().filter(|layer| layer.is_there).count();
        let of = self.layers.len();
        format!(
            "{image}: {} of {}, {there} of {of} layers",
            size(current),
            size(total)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown after the last of what an engine said.
    fn shown(said: &[(&str, &str, u64, u64)]) -> String {
        let mut pulls = Pulls::default();
        let mut last = String::new();
        for (id, status, current, total) in said {
            last = pulls.layer("web:1", id, status, (*current, *total));
        }
        last
    }

    #[test]
    fn what_came_counts_until_the_end() {
        let begun = [
            ("1", "Pulling from library/web", 0, 0),
            ("a", "Pulling fs layer", 0, 0),
            ("b", "Already exists", 0, 0),
            ("a", "Downloading", 1_000, 4_000),
        ];
        assert_eq!(shown(&begun), "web:1: 1.0 kB of 4.0 kB, 1 of 2 layers");
        let unpacked = [
            ("a", "Download complete", 0, 0),
            ("a", "Extracting", 10, 4_000),
        ];
        let unpacked = [&begun[..], &unpacked].concat();
        assert_eq!(shown(&unpacked), "web:1: 4.0 kB of 4.0 kB, 1 of 2 layers");
        let there = [&unpacked[..], &[("a", "Pull complete", 0, 0)]].concat();
        assert_eq!(shown(&there), "web:1: 4.0 kB of 4.0 kB, 2 of 2 layers");
    }

    #[test]
    fn a_log_gets_a_line_at_the_beginning_and_one_in_ten_seconds() {
        let mut pulls = Pulls::default();
        let began = Instant::now();
        let mut line = |seconds| {
            let now = began + Duration::from_secs(seconds);
            pulls.line("web:1", "a", "Downloading", (seconds, 100), now)
        };
        assert_eq!(line(0).as_deref(), Some("web:1: pulling"));
        assert_eq!(line(3), None);
        assert_eq!(
            line(11).as_deref(),
            Some("web:1: 11 B of 100 B, 0 of 1 layers")
        );
        assert_eq!(line(12), None);
    }
}
