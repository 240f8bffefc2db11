//! Tables that fit the screen: no lines, two spaces between columns.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::outln;

/// An empty table under these headings.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings);
    if let Some(width) = super::super::terminal_width() {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Prints a table on stdout, without the spaces that fill its last column.
pub(crate) fn show_table(rows: &Table) {
    for line in rows.lines() {
        outln!("{}", line.trim_end());
    }
}
