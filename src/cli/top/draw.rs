//! What is used, as lines that fit a screen: pure.

use super::{
    super::ui::{plural, printable, size},
    sample::Row,
};

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Cpu,
    Memory,
    Limit,
    Received,
    Sent,
    Read,
    Written,
    Pids,
}

/// In the order in which they stand.
const COLUMNS: [Column; 8] = [
    Column::Cpu,
    Column::Memory,
    Column::Limit,
    Column::Received,
    Column::Sent,
    Column::Read,
    Column::Written,
    Column::Pids,
];

/// In the order in which they go where there is no room: what is left is what one looks for.
const DROPPED: [&[Column]; 4] = [
    &[Column::Read, Column::Written],
    &[Column::Received, Column::Sent],
    &[Column::Limit],
    &[Column::Pids],
];

/// Between two columns.
const GAP: &str = "  ";

/// Of a name that is cut, so much is left at least.
const SHORTEST_NAME: usize = 12;

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Cpu => "CPU %",
            Self::Memory => "MEMORY",
            Self::Limit => "LIMIT",
            Self::Received => "NET IN/s",
            Self::Sent => "NET OUT/s",
            Self::Read => "READ/s",
            Self::Written => "WRITE/s",
            Self::Pids => "PIDS",
        }
    }

    fn cell(self, row: &Row) -> String {
        let Some(usage) = &row.usage else {
            return "-".to_owned();
        };
        match self {
            Self::Cpu => format!("{:.1}", usage.cpu),
            Self::Memory => size(usage.memory),
            Self::Limit => usage.limit.map_or_else(|| "-".to_owned(), size),
            Self::Received => size(usage.received),
            Self::Sent => size(usage.sent),
            Self::Read => size(usage.read),
            Self::Written => size(usage.written),
            Self::Pids => usage.pids.to_string(),
        }
    }

    /// Wide enough that it does not jump from one look to the next.
    fn width(self, rows: &[Row]) -> usize {
        let cells = rows.iter().map(|row| self.cell(row).len());
        let usual = match self {
            Self::Cpu => 5,
            Self::Pids => 4,
            _ => "999.9 MB".len(),
        };
        cells.fold(usual.max(self.heading().len()), usize::max)
    }
}

/// A heading and a line for each row, none of them wider than `width` if there is one.
pub(super) fn table(rows: &[Row], width: Option<usize>) -> Vec<String> {
    let names: Vec<String> = rows.iter().map(|row| printable(&row.label)).collect();
    let longest = names.iter().map(|name| name.chars().count());
    let longest = longest.fold("NAME".len(), usize::max);
    let mut columns: Vec<(Column, usize)> = COLUMNS
        .into_iter()
        .map(|column| (column, column.width(rows)))
        .collect();
    let taken = |columns: &[(Column, usize)]| -> usize {
        columns.iter().map(|(_, width)| width + GAP.len()).sum()
    };
    if let Some(width) = width {
        let needed = longest.min(SHORTEST_NAME);
        for dropped in DROPPED {
            if needed + taken(&columns) <= width {
                break;
            }
            columns.retain(|(column, _)| !dropped.contains(column));
        }
    }
    let left = width.map_or(longest, |width| {
        width.saturating_sub(taken(&columns)).max(4)
    });
    let name_width = longest.min(left);
    let line = |name: &str, cell: &dyn Fn(Column) -> String| {
        let mut line = format!("{:<name_width$}", cut(name, name_width));
        for (column, width) in &columns {
            line += &format!("{GAP}{:>width$}", cell(*column));
        }
        line
    };
    let mut lines = vec![line("NAME", &|column| column.heading().to_owned())];
    for (row, name) in rows.iter().zip(&names) {
        lines.push(line(name, &|column| column.cell(row)));
    }
    lines
}

/// What all of them use together.
pub(super) fn summary(rows: &[Row]) -> String {
    let used = rows.iter().filter_map(|row| row.usage.as_ref());
    let (cpu, memory) = used.fold((0.0, 0), |(cpu, memory), usage| {
        (cpu + usage.cpu, memory + usage.memory)
    });
    let count = plural(u32::try_from(rows.len()).unwrap_or(u32::MAX), "container");
    format!("{count}, CPU {cpu:.1} %, memory {}", size(memory))
}

/// All of a screen: no line is wider, and there are no more than fit.
pub(super) fn screen(rows: &[Row], width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![summary(rows), String::new()];
    lines.extend(table(rows, Some(width)));
    if lines.len() > height {
        // The summary has the number of all of them.
        lines.truncate(height.max(1));
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

/// A text that is no longer than that; what was cut off is told.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::{super::sample::tests::usage, *};
    use crate::api::wire::Usage;

    fn row(label: &str, usage: Option<Usage>) -> Row {
        Row {
            workspace: None,
            service: None,
            label: label.to_owned(),
            container: label.to_owned(),
            id: label.to_owned(),
            usage,
        }
    }

    fn rows() -> Vec<Row> {
        let busy = Usage {
            limit: Some(512_000_000),
            received: 1_200,
            sent: 34_500_000,
            written: 999,
            ..usage(104.25, 123_456_789)
        };
        vec![
            row("web.1", Some(busy)),
            row("a-service-with-a-long-name", Some(usage(0.0, 900))),
            row("new", None),
        ]
    }

    #[test]
    fn everything_is_shown_where_there_is_room() {
        insta::assert_snapshot!(table(&rows(), None).join("\n"), @"
        NAME                        CPU %    MEMORY     LIMIT  NET IN/s  NET OUT/s    READ/s   WRITE/s  PIDS
        web.1                       104.2  123.5 MB  512.0 MB    1.2 kB    34.5 MB       0 B     999 B     1
        a-service-with-a-long-name    0.0     900 B         -       0 B        0 B       0 B       0 B     1
        new                             -         -         -         -          -         -         -     -
        ");
    }

    #[test]
    fn columns_go_where_there_is_none_down_to_forty() {
        for width in [100, 80, 60, 50, 40] {
            let lines = table(&rows(), Some(width));
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{width}: {lines:#?}"
            );
        }
        insta::assert_snapshot!(table(&rows(), Some(80)).join("\n"), @"
        NAME                        CPU %    MEMORY     LIMIT  NET IN/s  NET OUT/s  PIDS
        web.1                       104.2  123.5 MB  512.0 MB    1.2 kB    34.5 MB     1
        a-service-with-a-long-name    0.0     900 B         -       0 B        0 B     1
        new                             -         -         -         -          -     -
        ");
        insta::assert_snapshot!(table(&rows(), Some(40)).join("\n"), @"
        NAME               CPU %    MEMORY  PIDS
        web.1              104.2  123.5 MB     1
        a-service-with-a…    0.0     900 B     1
        new                    -         -     -
        ");
    }

    #[test]
    fn a_screen_is_never_larger_than_it_is() {
        for (width, height) in [(80, 24), (40, 4), (10, 3), (1, 1)] {
            let lines = screen(&rows(), width, height);
            assert!(lines.len() <= height);
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{lines:#?}"
            );
        }
        assert_eq!(
            summary(&rows()),
            "3 containers, CPU 104.2 %, memory 123.5 MB"
        );
    }
}
