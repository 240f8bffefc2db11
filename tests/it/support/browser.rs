//! A real browser, driven as W3C's WebDriver has it: Debian's Chromium.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A browser starts in a second; a machine that does something else is slower.
const STARTED_IN: Duration = Duration::from_secs(60);

/// One browser with one page, gone with this.
pub(crate) struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    driver: Child,
}

impl Browser {
    /// Starts it; `arguments` are Chromium's own.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, of Debian's chromium-driver");
        let port = port_of(&mut driver);
        let mut all = vec![
            "--headless=new",
            // Whoever runs tests may be root, for whom Chromium has no sandbox.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ];
        all.extend(arguments);
        let wanted = json!({ "goog:chromeOptions": { "args": all } });
        let Value::Object(wanted) = wanted else {
            unreachable!()
        };
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let url = format!("http://127.0.0.1:{port}");
            let mut builder = ClientBuilder::new(HttpConnector::new());
            let started = builder.capabilities(wanted).connect(&url);
            tokio::time::timeout(STARTED_IN, started).await
        });
        Self {
            client: Some(client.expect("a browser in time").unwrap()),
            runtime,
            driver,
        }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Opens a page.
    pub(crate) fn open(&self, url: &str) {
        self.runtime.block_on(self.client().goto(url)).unwrap();
    }

    /// Makes its window so large.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let resized = self.client().set_window_size(width, height);
        self.runtime.block_on(resized).unwrap();
    }

    /// A picture of what its window shows, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.client().screenshot()).unwrap()
    }

    /// Runs the body of a function in the page. What it hands to its last argument,
    /// a callback, is the result.
    pub(crate) fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.runtime
            .block_on(self.client().execute_async(script, arguments))
            .unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that a driver says it listens on.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let deadline = Instant::now() + STARTED_IN;
    let port = loop {
        let line = lines.next().expect("the driver says its port").unwrap();
        if let Some(port) = line.split("successfully on port ").nth(1) {
            break port.trim_end_matches('.').to_owned();
        }
        assert!(Instant::now() < deadline, "{line}");
    };
    // What it says later is nobody's business, and must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    port.parse().unwrap()
}
