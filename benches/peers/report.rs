//! What a measurement found: figures of ours and of others, side by side, with the budget
//! that they are to keep; printed, and written as JSON and as a picture.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use serde_json::json;

/// One thing that was measured of several, in turn, in the same run.
pub(crate) struct Row {
    /// A word for files: `noop-40`.
    pub(crate) name: String,
    /// What was done.
    pub(crate) what: String,
    /// What the figures count: `ms`.
    pub(crate) unit: &'static str,
    /// Who did it, and each figure; the first is ours.
    pub(crate) figures: Vec<(String, Vec<f64>)>,
    /// What ours may be at most, of whose figure.
    pub(crate) budget: Option<Budget>,
}

/// What a figure may be at most.
pub(crate) enum Budget {
    /// Of a peer's: `0.1`.
    Times(&'static str, f64),
    /// More than a peer's: `60.0`.
    Over(&'static str, f64),
    /// In itself.
    AtMost(f64),
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            unit: "ms",
            figures: Vec::new(),
            budget: None,
        }
    }

    #[must_use]
    pub(crate) fn of(mut self, who: &str, figures: impl IntoIterator<Item = f64>) -> Self {
        self.figures
            .push((who.to_owned(), figures.into_iter().collect()));
        self
    }

    #[must_use]
    pub(crate) fn within(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Prints it, and writes it below `target/bench` (or `COSMOS_BENCH_INTO`).
    pub(crate) fn report(&self) {
        println!("{}", self.what);
        let ours = middle(&self.figures[0].1);
        for (who, figures) in &self.figures {
            let (median, least, most) = (middle(figures), least(figures), most(figures));
            println!(
                "  {who:<16} {median:>10.2} {}   {least:.2} to {most:.2}   x {:.3}",
                self.unit,
                ours / median
            );
        }
        if let Some(verdict) = self.verdict() {
            println!("  {verdict}");
        }
        let into = env::var_os("COSMOS_BENCH_INTO").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench"),
            PathBuf::from,
        );
        fs::create_dir_all(&into).unwrap();
        let text = serde_json::to_string_pretty(&self.told()).unwrap();
        fs::write(into.join(format!("{}.json", self.name)), text + "\n").unwrap();
        fs::write(into.join(format!("{}.svg", self.name)), self.picture()).unwrap();
    }

    fn median_of(&self, who: &str) -> Option<f64> {
        let mut figures = self.figures.iter();
        figures
            .find(|(name, _)| name == who)
            .map(|(_, of)| middle(of))
    }

    fn verdict(&self) -> Option<String> {
        let ours = middle(&self.figures[0].1);
        let (words, allowed) = match self.budget.as_ref()? {
            Budget::Times(who, times) => {
                (format!("x {times} of {who}"), self.median_of(who)? * times)
            }
            Budget::Over(who, more) => (
                format!("{who} + {more} {}", self.unit),
                self.median_of(who)? + more,
            ),
            Budget::AtMost(most) => ("at most".to_owned(), *most),
        };
        let is_kept = if ours <= allowed { "kept" } else { "NOT kept" };
        Some(format!(
            "budget {words} = {allowed:.1} {}: {is_kept}",
            self.unit
        ))
    }

    fn told(&self) -> serde_json::Value {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|(who, of)| {
                json!({ "who": who, "median": middle(of), "least": least(of), "most": most(of), "all": of })
            })
            .collect();
        json!({
            "name": self.name, "what": self.what, "unit": self.unit,
            "figures": figures, "budget": self.verdict(),
        })
    }

    /// Bars, one for each, with a line from the least to the most.
    fn picture(&self) -> String {
        const WIDE: f64 = 420.0;
        let scale = self
            .figures
            .iter()
            .map(|(_, of)| most(of))
            .fold(0.0, f64::max);
        let along = |figure: f64| 130.0 + WIDE * figure / scale.max(f64::MIN_POSITIVE);
        let height = 46 + 26 * self.figures.len();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"640\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"10\" y=\"20\" font-weight=\"bold\">{}</text>\n",
            escaped(&self.what)
        );
        for (at, (who, of)) in self.figures.iter().enumerate() {
            let (y, median) = (34 + 26 * at, middle(of));
            let colour = if at == 0 { "#3b6fd4" } else { "#b8bfca" };
            let (base, half) = (y + 13, y + 9);
            let (width, from, to) = (along(median) - 130.0, along(least(of)), along(most(of)));
            let (who, unit, beside) = (escaped(who), self.unit, to + 6.0);
            let _ = write!(
                svg,
                "<text x=\"122\" y=\"{base}\" text-anchor=\"end\">{who}</text>\n\
                 <rect x=\"130\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
                 <path d=\"M{from:.1} {half}H{to:.1}\" stroke=\"#333333\"/>\n\
                 <text x=\"{beside:.1}\" y=\"{base}\">{median:.1} {unit}</text>\n"
            );
        }
        svg + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
