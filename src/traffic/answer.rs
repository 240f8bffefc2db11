//! Answers in words: what went wrong, and what to do about it.
//!
//! Programs get `{"error":{"code","message","hint"}}`, browsers a plain page.
//! Nothing in either is ever anything but text, whatever it was made from.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
        RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    authority::Authority,
    guard::MANAGEMENT_HOSTS,
    refusal::{Code, Refusal},
    routes::{Leads, Routes},
};

/// What an answer of our own looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Page,
    /// For programs.
    Json,
}

impl Form {
    /// Browsers name HTML when they go somewhere; programs do not.
    pub(super) fn wanted(asked: &HeaderMap) -> Self {
        let is_html = |range: &[u8]| {
            const HTML: &[u8] = b"text/html";
            range
                .trim_ascii_start()
                .get(..HTML.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(HTML))
        };
        let mut accepted = asked.get_all(ACCEPT).iter();
        if accepted.any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_html)) {
            Self::Page
        } else {
            Self::Json
        }
    }
}

/// What is said in an answer of our own.
#[derive(Debug)]
pub(super) struct Explanation {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: String,
    /// What else could have been asked: address, and what is there.
    pub(super) routes: Vec<(String, String)>,
    /// What the container in question said last.
    pub(super) output: Arc<[String]>,
    pub(super) retry_after: Option<u64>,
    /// As a page, it asks again by itself after that.
    pub(super) refreshes: bool,
    pub(super) allow: Option<&'static str>,
}

impl Explanation {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: hint.into(),
            routes: Vec::new(),
            output: Arc::default(),
            retry_after: None,
            refreshes: false,
            allow: None,
        }
    }

    /// Nothing answers to that name.
    pub(super) fn no_route(host: &str, path: &str, routes: &Routes) -> Self {
        let message = if MANAGEMENT_HOSTS.contains(&host) {
            "this is the Cosmos proxy; nothing here takes what has no route of its own".to_owned()
        } else if routes.is_live(host) {
            format!("`{host}` is a route, but not for the path `{path}`")
        } else {
            format!("nothing here is called `{host}`")
        };
        let mut this = Self::new(
            StatusCode::NOT_FOUND,
            "no_route",
            message,
            "give a service `route = { port = 80 }` in cosmos.toml and run `cosmos up`, \
             or start a container with `cosmos start -d IMAGE`",
        );
        this.routes = routes
            .targets()
            .map(|target| {
                let state = match &target.leads {
                    Leads::Nowhere { state, .. } => format!(" ({state})"),
                    Leads::To(_) | Leads::Outside { .. } | Leads::Unsupported { .. } => {
                        String::new()
                    }
                };
                (target.url.clone(), format!("{}{state}", target.name))
            })
            .collect();
        this
    }

    /// No outside route has the name that a container asks for.
    pub(super) fn no_inside_route(authority: &Authority, path: &str, routes: &Routes) -> Self {
        let mut this = Self::new(
            StatusCode::NOT_FOUND,
            "no_route",
            format!("`{path}` is no outside route: it is /_routes/<workspace>/<route>/.."),
            "declare it, as `[routes.NAME]` with its `upstream`, and run `cosmos up`",
        );
        let routes = routes.from_inside();
        this.routes = routes
            .map(|(path, target)| (format!("http://{authority}{path}"), target.name.clone()))
            .collect();
        this
    }

    /// As a page for people, or as JSON for programs.
    pub(super) fn into_response(self, form: Form) -> Response<Bytes> {
        let (kind, text) = match form {
            Form::Page => ("text/html; charset=utf-8", self.page()),
            Form::Json => ("application/json", self.json()),
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    fn json(&self) -> String {
        let mut error = serde_json::json!({
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        });
        if !self.routes.is_empty() {
            error["routes"] = self
                .routes
                .iter()
                .map(|(url, name)| serde_json::json!({ "url": url, "name": name }))
                .collect();
        }
        if !self.output.is_empty() {
            error["output"] = self.output.iter().map(String::as_str).collect();
        }
        let mut text = serde_json::json!({ "error": error }).to_string();
        text.push('\n');
        text
    }

    fn page(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0} {1}</title>\
             <h1>{1}</h1><p>{2}</p>",
            self.status.as_u16(),
            escaped(&self.message),
            escaped(&self.hint),
        );
        if let (true, Some(seconds)) = (self.refreshes, self.retry_after) {
            let _ = write!(page, "<meta http-equiv=\"refresh\" content=\"{seconds}\">");
        }
        if !self.output.is_empty() {
            page.push_str("<p>It said last:</p><pre>");
            for line in &*self.output {
                let _ = writeln!(page, "{}", escaped(line));
            }
            page.push_str("</pre>");
        }
        if !self.routes.is_empty() {
            page.push_str("<p>What is here:</p><ul>");
            for (url, name) in &self.routes {
                let _ = write!(
                    page,
                    "<li><a href=\"{0}\">{0}</a> {1}</li>",
                    escaped(url),
                    escaped(name)
                );
            }
            page.push_str("</ul>");
        }
        let _ = writeln!(page, "<p><small>Cosmos, {}</small></p></html>", self.code);
        page
    }
}

impl From<Refusal> for Explanation {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code;
        let mut this = Self::new(code.status(), code.as_str(), refusal.message, refusal.hint);
        this.retry_after = matches!(
            code,
            Code::RateLimited | Code::NetworksUnknown | Code::TooManyConnections
        )
        .then_some(1);
        // RFC 9110, 15.5.6: a 405 says what would be allowed.
        this.allow = match code {
            Code::MethodNotAllowed => Some("POST"),
            Code::MethodRefused => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            _ => None,
        };
        this
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    fn nasty() -> Explanation {
        Explanation::new(
            StatusCode::NOT_FOUND,
            "no_route",
            "<script>alert('1')</script>",
            "a & \"b\"",
        )
    }

    #[test]
    fn a_browser_gets_a_page_in_which_everything_is_text() {
        let response =
            nasty().into_response(Form::wanted(&asking("text/html,application/xhtml+xml")));
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let page = std::str::from_utf8(response.body()).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("a &amp; &quot;b&quot;"), "{page}");
    }

    #[test]
    fn a_program_gets_json() {
        let response = nasty().into_response(Form::wanted(&asking("*/*")));
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({ "error": {
                "code": "no_route",
                "message": "<script>alert('1')</script>",
                "hint": "a & \"b\"",
            }})
        );
    }
}
