//! The inspector's page: files that are in the binary, and how they are sent.
//!
//! They are the same for everybody and say nothing of anybody: what the page shows it
//! asks of the API, with what it was given when somebody signed in. They need nothing
//! but themselves, so that the page works without a network, and nothing in them runs
//! that is not a file of theirs: the policy that goes with each says so to the browser.
//!
//! Start reading at `assets/app.js`, which `assets/boot.js` starts.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use crate::workspace::fingerprint::hex;

/// What a browser may do for this page: load its files, call its API, show pictures
/// that it has made itself of what passed. Nothing else, and for nobody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// What all that follows goes with.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    // Kept, but asked for again: another version may be there.
    (header::CACHE_CONTROL, "no-cache"),
];

macro_rules! files {
    ($($name:literal)*) => {
        /// Every file, by its name.
        const FILES: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("assets/", $name))),)*
        ];
    };
}

files! {
    "ansi.js"
    "api.js"
    "app.css"
    "app.js"
    "body.js"
    "boot.js"
    "causes.js"
    "container-row.js"
    "detail.js"
    "dialogs.js"
    "dom.js"
    "event-stream.js"
    "exchange-list.js"
    "exchange-row.js"
    "exchange-store.js"
    "exchanges.css"
    "exchanges.js"
    "form.js"
    "frames.js"
    "headers.js"
    "history.js"
    "icon.svg"
    "index.html"
    "json-parse.js"
    "json-tree.js"
    "keys.js"
    "ledger.js"
    "live.js"
    "log-stream.js"
    "logs.js"
    "notices.js"
    "orders.js"
    "plan.js"
    "replay.js"
    "router.js"
    "service-card.js"
    "services.js"
    "signin.js"
    "sparkline.js"
    "streams.js"
    "text.js"
    "theme.js"
    "views.css"
    "virtual-list.js"
    "waterfall.js"
}

/// The page and its files.
pub fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { file("index.html", &headers) }),
        )
        .route(
            "/{name}",
            get(
                |Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) },
            ),
        )
        .fallback(|| async { nothing() })
}

fn file(name: &str, asked: &HeaderMap) -> Response {
    let Some((name, content)) = FILES.iter().find(|(known, _)| *known == name) else {
        return nothing();
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(content)[..16]));
    let is_known = asked
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let (status, body) = match is_known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(*content)),
    };
    let of_it = [
        (header::CONTENT_TYPE, media_type(name).to_owned()),
        (header::ETAG, tag),
    ];
    (status, HEADERS, of_it, body).into_response()
}

fn nothing() -> Response {
    let text = "There is nothing here. The dashboard is at /\n";
    (StatusCode::NOT_FOUND, HEADERS, text).into_response()
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    fn text(name: &str) -> &'static str {
        let (_, content) = FILES.iter().find(|(known, _)| *known == name).unwrap();
        std::str::from_utf8(content).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_binary() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard/assets");
        let there: BTreeSet<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for (name, _) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
            for line in text(name).lines() {
                let Some((_, rest)) = line.split_once(" from \"./") else {
                    continue;
                };
                let imported = rest.split('"').next().unwrap();
                assert!(
                    FILES.iter().any(|(known, _)| *known == imported),
                    "{name}: {imported}"
                );
            }
        }
    }

    /// The policy forbids it, and a browser says so only to whoever looks.
    #[test]
    fn nothing_is_made_of_text_that_could_be_more_than_text() {
        for (name, _) in FILES {
            let text = text(name);
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "style=\"",
                "javascript:",
                "onclick=\"",
            ] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
        let page = text("index.html");
        assert!(
            !page.contains("<style") && !page.contains("<script>"),
            "inline"
        );
    }

    #[tokio::test]
    async fn a_file_is_sent_once_as_long_as_it_is_the_same() {
        let first = file("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(file("app.js", &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file("../mod.rs", &asked).status(), StatusCode::NOT_FOUND);
    }
}
