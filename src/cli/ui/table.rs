//! Tables that fit the screen: no lines, two spaces between columns.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::{fold::columns, outln};

/// Spaces between two columns.
const GAP: u16 = 2;

/// An empty table under these headings.
pub(crate) fn table(headings: impl IntoIterator<Item = impl ToString>) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.into_iter().map(|heading| heading.to_string()));
    if let Some(width) = super::super::output_width() {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table
}

/// Which columns a screen has room for, of those with so many characters each: those
/// that can be done without go one by one, in this order, until the others fit. All of
/// them, where there is no screen.
pub(crate) fn columns_that_fit<const N: usize>(
    rows: &[[String; N]],
    headings: [&str; N],
    without: &[usize],
) -> [bool; N] {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| columns(&row[at]));
        cells.max().unwrap_or(0).max(headings[at].len()) + usize::from(GAP)
    };
    let widths = std::array::from_fn(width);
    let screen = super::super::output_width().unwrap_or(usize::MAX);
    // What says nothing goes before what says something.
    let is_empty = |at: &usize| rows.iter().all(|row| row[*at].is_empty());
    let (empty, full): (Vec<usize>, Vec<usize>) = without.iter().partition(|at| is_empty(at));
    kept(widths, screen, &[empty, full].concat())
}

fn kept<const N: usize>(widths: [usize; N], screen: usize, without: &[usize]) -> [bool; N] {
    let mut is_kept = [true; N];
    let mut left: usize = widths.iter().sum();
    for at in without {
        if left <= screen {
            break;
        }
        is_kept[*at] = false;
        left -= widths[*at];
    }
    // A wide one that had to go leaves room for narrow ones that went before it.
    for at in without.iter().rev() {
        if !is_kept[*at] && left + widths[*at] <= screen {
            is_kept[*at] = true;
            left += widths[*at];
        }
    }
    is_kept
}

/// Prints a table on stdout, without the spaces that fill its last column.
pub(crate) fn show_table(rows: &Table) {
    for line in table_lines(rows) {
        outln!("{line}");
    }
}

/// The lines of a table, without the spaces that fill its last column.
pub(crate) fn table_lines(rows: &Table) -> impl Iterator<Item = String> + '_ {
    rows.lines().map(|line| line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_in_their_order_until_the_others_fit() {
        let widths = [10, 8, 6, 30];
        assert_eq!(kept(widths, 54, &[2, 3]), [true; 4]);
        assert_eq!(kept(widths, 48, &[2, 3]), [true, true, false, true]);
        assert_eq!(kept(widths, 23, &[2, 3]), [true, true, false, false]);
        // What cannot be done without stays, however narrow it is.
        assert_eq!(kept(widths, 5, &[2, 3]), [true, true, false, false]);
    }

    #[test]
    fn a_wide_column_that_goes_gives_narrow_ones_their_place_back() {
        let widths = [10, 8, 6, 30];
        assert_eq!(kept(widths, 39, &[1, 2, 3]), [true, true, true, false]);
        // The one that goes last is the first to come back.
        assert_eq!(kept(widths, 19, &[1, 2, 3]), [true, false, true, false]);
    }
}
