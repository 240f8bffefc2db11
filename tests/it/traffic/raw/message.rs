//! Takes messages apart as far as it must be known where they end.
//!
//! Not the proxy's parser: what two parsers agree on is what both understood.

/// A head, and where it ends.
pub(super) struct Head {
    /// The request or status line.
    pub(super) start: String,
    headers: Vec<(String, String)>,
    /// Its bytes, the empty line included.
    pub(super) length: usize,
}

/// What says where a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    /// With the connection.
    Close,
}

impl Head {
    /// The head that the bytes begin with, once it is whole.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let (start, lines) = text.split_once("\r\n").unwrap_or((&text, ""));
        let headers = lines
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self {
            start: start.to_owned(),
            headers,
            length: end + 4,
        })
    }

    pub(super) fn has(&self, name: &str, part: &str) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(have, value)| have == name && value.to_ascii_lowercase().contains(part))
    }

    fn content_length(&self) -> Option<usize> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(name, _)| name == "content-length")?;
        // A length that no number holds is longer than anything that comes.
        Some(value.parse().unwrap_or(usize::MAX))
    }

    /// The framing of a request with this head.
    pub(super) fn of_request(&self) -> Framing {
        if self.has("transfer-encoding", "chunked") {
            return Framing::Chunked;
        }
        self.content_length().map_or(Framing::None, Framing::Length)
    }

    /// The framing of an answer with this head; `to_head` where HEAD was asked.
    pub(super) fn of_answer(&self, to_head: bool) -> Framing {
        if to_head || matches!(self.status(), Some(100..=199 | 204 | 304)) {
            return Framing::None;
        }
        match self.of_request() {
            Framing::None => Framing::Close,
            framing => framing,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        let mut words = self.start.split(' ');
        let version = words.next()?;
        version.starts_with("HTTP/").then_some(())?;
        words.next()?.parse().ok()
    }
}

/// A body, as far as it is there.
pub(super) struct Body {
    /// Without the chunks' frames.
    pub(super) data: Vec<u8>,
    /// The lines behind the last chunk.
    pub(super) trailers: Vec<u8>,
    /// How many bytes it is on the wire; `None` while more must come.
    pub(super) length: Option<usize>,
}

impl Body {
    pub(super) fn of(bytes: &[u8], framing: &Framing) -> Self {
        let (data, length) = match framing {
            Framing::None => (&[][..], Some(0)),
            Framing::Length(length) => match bytes.get(..*length) {
                Some(body) => (body, Some(*length)),
                None => (bytes, None),
            },
            Framing::Close => (bytes, None),
            Framing::Chunked => return Self::of_chunks(bytes),
        };
        Self {
            data: data.to_vec(),
            trailers: Vec::new(),
            length,
        }
    }

    fn of_chunks(bytes: &[u8]) -> Self {
        let mut body = Self {
            data: Vec::new(),
            trailers: Vec::new(),
            length: None,
        };
        let mut at = 0;
        while let Some(end) = find(&bytes[at..], b"\r\n") {
            let size = String::from_utf8_lossy(&bytes[at..at + end]).into_owned();
            let size = size.split([';', ' ']).next().unwrap_or_default();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                break;
            };
            at += end + 2;
            if size == 0 {
                let mut end = at;
                while let Some(line) = find(&bytes[end..], b"\r\n") {
                    end += line + 2;
                    if line == 0 {
                        body.trailers = bytes[at..end - 2].to_vec();
                        body.length = Some(end);
                        break;
                    }
                }
                break;
            }
            let chunk = &bytes[at..bytes.len().min(at + size)];
            body.data.extend(chunk);
            at += size + 2;
            if at > bytes.len() {
                break;
            }
        }
        body
    }
}

/// Where the one is in the other.
pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|found| found == what)
}

/// Bytes as they are shown: short, on one line.
pub(super) fn shown(bytes: &[u8]) -> String {
    if let Some(frames) = frames(bytes) {
        return format!("[h2: {frames}]");
    }
    if bytes.len() > 80 {
        return format!("[{} bytes]", bytes.len());
    }
    format!("[{}]", bytes.escape_ascii())
}

/// What a server of HTTP/2 says, by the names of its frames and their streams.
fn frames(bytes: &[u8]) -> Option<String> {
    const NAMES: [&str; 10] = [
        "data",
        "headers",
        "priority",
        "reset",
        "settings",
        "promise",
        "ping",
        "goaway",
        "window",
        "continuation",
    ];
    // It begins with its settings.
    if !matches!(bytes, [0, 0, _, 4, _, 0, 0, 0, 0, ..]) {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk::<9>()?;
        let [_, high, low, kind, _, _, _, _, stream] = *head;
        rest = behind.get(usize::from(high) * 256 + usize::from(low)..)?;
        let word = format!("{} {stream}", NAMES.get(usize::from(kind))?);
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
    Some(words.join(", "))
}
