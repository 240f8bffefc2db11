//! `cosmos http`: the requests that passed the proxy, as the dashboard shows them.
//!
//! The proxy keeps the newest, with their headers and bodies and without their secrets.
//! `show` prints one; this lists them, follows them, and has them sent again.

mod show;

use std::{
    fmt::Write as _,
    io::Read as _,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt as _;
use hyper::Method;

use super::{
    args::{Global, Http as Args, HttpList, HttpReplay, HttpVerb},
    bootstrap, context,
    error::{Failure, INTERRUPTED},
    orders,
    ui::{duration, outln, printable, sayln, size, status_style},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{
            Cleared, Curl, Edits, ExchangeLine, ExchangeList, ExchangeState, OneExchange, Replayed,
            Summary,
        },
    },
    config::Loaded,
};

/// How long an answer to a request that was sent again is waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// A request that is answered but not over is shown after so long: it may last for ever.
const SHOWN_OPEN_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    // Says what to do where there is no proxy.
    let client = bootstrap::existing(&global).await?;
    match args.verb.unwrap_or(HttpVerb::List(args.list)) {
        HttpVerb::List(list) if list.follow => {
            doubt(&global, &list.filter);
            follow(&client, &list).await
        }
        HttpVerb::List(list) => self::list(&global, &client, &list).await,
        HttpVerb::Show { number, json } => {
            let one = exchange(&client, number).await?;
            match json {
                true => outln!("{}", serde_json::to_string(&one).unwrap_or_default()),
                false => show::show(&one.exchange),
            }
            Ok(ExitCode::SUCCESS)
        }
        HttpVerb::Replay(edits) => replay(&client, edits).await,
        HttpVerb::Curl { number } => {
            let curl: Curl = client.get(&format!("/exchanges/{number}/curl")).await?;
            outln!("{}", curl.command);
            Ok(ExitCode::SUCCESS)
        }
        HttpVerb::Har { filter } => {
            let path = format!("/exchanges/har?filter={}", encoded(&filter.join(" ")));
            let har: serde_json::Value = client.get(&path).await?;
            outln!("{}", serde_json::to_string_pretty(&har).unwrap_or_default());
            Ok(ExitCode::SUCCESS)
        }
        HttpVerb::Clear => {
            let _: Cleared = client.call(Method::DELETE, "/exchanges").await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn exchange(client: &Client, number: u64) -> Result<OneExchange, Failure> {
    Ok(client.get(&format!("/exchanges/{number}")).await?)
}

/// Says which service was meant by a filter for one that there is not.
fn doubt(global: &Global, filter: &[String]) {
    let Some(here) = context::workspace_here(global) else {
        return;
    };
    for name in filter.iter().flat_map(|words| services(words)) {
        if let Some(meant) = orders::meant(name, &here).filter(|_| !is_declared(name, &here)) {
            sayln!(
                "there is no service `{name}` in the config: {}",
                orders::did_you_mean(meant)
            );
        }
    }
}

fn is_declared(name: &str, here: &Loaded) -> bool {
    here.workspace.services.contains_key(name) || here.workspace.routes.contains_key(name)
}

/// The services that a filter names: `service:api`. Patterns are nobody's name.
fn services(filter: &str) -> impl Iterator<Item = &str> {
    let terms = filter.split_whitespace();
    terms
        .filter_map(|term| term.strip_prefix("service:"))
        .filter(|name| !name.contains(['*', '"']))
}

async fn list(global: &Global, client: &Client, args: &HttpList) -> Result<ExitCode, Failure> {
    let path = format!(
        "/exchanges?limit={}&filter={}",
        args.limit,
        encoded(&args.filter.join(" "))
    );
    let list: ExchangeList = client.get(&path).await?;
    if args.json {
        outln!("{}", serde_json::to_string(&list).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    // As in a log, the newest is the last.
    for summary in list.exchanges.iter().rev() {
        outln!("{}", line(summary));
    }
    if list.exchanges.is_empty() {
        match args.filter.is_empty() {
            true => sayln!("nothing has passed yet: `cosmos status` has the addresses of services"),
            false => {
                sayln!("nothing of what is kept is so");
                doubt(global, &args.filter);
            }
        }
    }
    if list.dropped > 0 {
        sayln!(
            "{} more were not captured: they came faster than anybody could look at them",
            list.dropped
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(client: &Client, args: &HttpList) -> Result<ExitCode, Failure> {
    let path = format!(
        "/exchanges/follow?filter={}",
        encoded(&args.filter.join(" "))
    );
    let mut lines = Box::pin(client.lines::<ExchangeLine>(&path).await?);
    let mut shown = Shown::default();
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        // Either arm may be dropped: what was not read is not missed any more.
        let line = tokio::select! {
            line = lines.next() => line,
            _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let Some(line) = line.transpose()? else {
            return Err(
                Failure::new("the proxy has ended").hinted("`cosmos status` starts it again")
            );
        };
        if args.json {
            outln!("{}", serde_json::to_string(&line).unwrap_or_default());
            continue;
        }
        match line {
            ExchangeLine::Exchange(summary) if shown.is_to_be(&summary) => {
                outln!("{}", self::line(&summary));
            }
            ExchangeLine::Dropped { dropped } => {
                sayln!("{dropped} were not captured so far: they come too fast");
            }
            _ => {}
        }
    }
}

/// Which exchanges were shown: each is once, when it is over or has lasted.
#[derive(Debug, Default)]
struct Shown {
    /// Those that were shown though they were not over, and may be again at their end.
    open: std::collections::BTreeSet<u64>,
}

impl Shown {
    fn is_to_be(&mut self, summary: &Summary) -> bool {
        match summary.state {
            ExchangeState::Done => {
                self.open.remove(&summary.number);
                true
            }
            ExchangeState::Open => {
                let lasts = UNIX_EPOCH + Duration::from_millis(summary.at) + SHOWN_OPEN_AFTER;
                summary.status.is_some()
                    && lasts <= SystemTime::now()
                    && self.open.insert(summary.number)
            }
        }
    }
}

async fn replay(client: &Client, args: HttpReplay) -> Result<ExitCode, Failure> {
    let edits = edits(client, &args).await?;
    let path = format!("/exchanges/{}/replay", args.number);
    let Replayed { number, .. } = client.post(&path, &edits).await?;
    let path = format!(
        "/exchanges/follow?filter={}",
        encoded(&format!("number:{number}"))
    );
    let mut lines = Box::pin(client.lines::<ExchangeLine>(&path).await?);
    let answered = async {
        while let Some(line) = lines.next().await {
            if let ExchangeLine::Exchange(summary) = line?
                && (summary.state == ExchangeState::Done || summary.status.is_some())
            {
                return Ok(Some(summary));
            }
        }
        Ok::<_, Failure>(None)
    };
    let answered = tokio::time::timeout(ANSWERED_WITHIN, answered).await;
    match answered.unwrap_or(Ok(None))? {
        Some(_) if args.json => {
            let one = exchange(client, number).await?;
            outln!("{}", serde_json::to_string(&one).unwrap_or_default());
        }
        Some(summary) => {
            outln!("{}", line(&summary));
            sayln!("`cosmos http show {number}` shows all of it");
        }
        None => sayln!("sent as {number}, which is not answered yet: `cosmos http show {number}`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be different. Headers are given one by one, and sent all together.
async fn edits(client: &Client, args: &HttpReplay) -> Result<Edits, Failure> {
    let headers = match args.header.is_empty() {
        true => None,
        false => {
            let one = exchange(client, args.number).await?;
            Some(with_headers(one.exchange.request.headers, &args.header)?)
        }
    };
    Ok(Edits {
        method: args.method.clone(),
        path: args.path.clone(),
        headers,
        body: args.body.as_deref().map(body).transpose()?,
    })
}

fn with_headers(
    mut headers: Vec<(String, String)>,
    given: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    // Secrets that were taken out are not sent as what stands in their place.
    headers.retain(|(_, value)| !value.contains("[redacted "));
    for line in given {
        let Some((name, value)) = line.split_once(':') else {
            return Err(
                Failure::usage(format!("`{}` is no header", printable(line)))
                    .hinted("write `-H 'name: value'`, or `-H 'name:'` to leave one out"),
            );
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        headers.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            headers.push((name, value.to_owned()));
        }
    }
    Ok(headers)
}

/// A text, `@file`, or `@-` for what is piped in.
fn body(given: &str) -> Result<String, Failure> {
    let Some(file) = given.strip_prefix('@') else {
        return Ok(given.to_owned());
    };
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        file => std::fs::read_to_string(file),
    };
    read.map_err(|error| Failure::new(format!("`{}` cannot be read: {error}", printable(file))))
}

/// One exchange in one line.
fn line(summary: &Summary) -> String {
    let who = summary.service.as_ref().or(summary.container.as_ref());
    let who = printable(who.unwrap_or(&summary.host));
    let path = printable(&summary.path);
    let mut line = format!("{:>5}  {}  {who:<12}  ", summary.number, time(summary.at));
    // Writing to a text cannot fail.
    let _ = match summary.status {
        Some(status) => {
            let style = status_style(status);
            write!(line, "{style}{status}{style:#}")
        }
        None => write!(line, "..."),
    };
    let _ = write!(line, " {:<6} {path}", printable(&summary.method));
    if let Some(total) = summary.total_ms {
        let took = Duration::try_from_secs_f64(total / 1000.0).unwrap_or_default();
        let _ = write!(line, "  {}", duration(took));
    }
    let _ = match (summary.messages, summary.events) {
        (Some(messages), _) => write!(
            line,
            "  {} sent, {} received",
            messages.sent, messages.received
        ),
        (None, Some(events)) => write!(line, "  {events} events"),
        (None, None) => write!(line, "  {}", size(summary.bytes_out)),
    };
    if summary.state == ExchangeState::Open {
        line.push_str("  open");
    }
    if let Some(original) = summary.replay_of {
        let _ = write!(line, "  again {original}");
    }
    for said in [&summary.code, &summary.cut].into_iter().flatten() {
        let _ = write!(line, "  ({})", printable(said));
    }
    line
}

/// The time of a day, in the zone of the access log: UTC.
fn time(at: u64) -> String {
    let millis = at % 86_400_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!(
        "{:02}:{:02}:{:02}.{millis:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            number: 12,
            at: 1_767_348_245_120,
            state: ExchangeState::Done,
            method: "GET".to_owned(),
            host: "web.shop.localhost:8080".to_owned(),
            path: "/cart?a".to_owned(),
            status: Some(200),
            service: Some("web".to_owned()),
            total_ms: Some(12.2),
            bytes_out: 1234,
            ..Summary::default()
        }
    }

    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }

    #[test]
    fn an_exchange_is_one_line_that_no_terminal_acts_on() {
        assert_eq!(
            plain(&line(&summary())),
            "   12  10:04:05.120  web           200 GET    /cart?a  12 ms  1.2 kB"
        );
        let mut nasty = summary();
        nasty.path = "/\u{1b}[2J\n\u{202e}".to_owned();
        nasty.cut = Some("the client left".to_owned());
        nasty.replay_of = Some(3);
        let line = plain(&line(&nasty));
        assert!(!line.contains('\u{1b}') && !line.contains('\n') && !line.contains('\u{202e}'));
        assert!(line.ends_with("  again 3  (the client left)"), "{line}");
    }

    #[test]
    fn what_lasts_is_shown_once_while_it_does_and_at_its_end() {
        let mut shown = Shown::default();
        let mut lasting = summary();
        lasting.state = ExchangeState::Open;
        assert!(shown.is_to_be(&lasting));
        assert!(!shown.is_to_be(&lasting));
        assert!(shown.is_to_be(&summary()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        lasting.at = u64::try_from(now.as_millis()).unwrap();
        assert!(!shown.is_to_be(&lasting), "it may be over in a moment");
    }

    #[test]
    fn headers_are_set_and_left_out_by_name() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let before = vec![
            pair("a", "1"),
            pair("b", "2"),
            pair("authorization", "Bearer [redacted 3 #1]"),
        ];
        let given = ["A: 9".to_owned(), "b:".to_owned(), "c: x:y".to_owned()];
        let after = with_headers(before, &given).unwrap();
        assert_eq!(after, [pair("a", "9"), pair("c", "x:y")]);
        assert!(with_headers(Vec::new(), &["nothing".to_owned()]).is_err());
    }
}
