//! Long sentences in lines that a screen has room for.

/// A text whose lines have at most so many columns, broken between words.
///
/// What stands between backticks is one word: people copy it. One that no line has room
/// for gets a line of its own, and the terminal breaks it. So it does with what is shown
/// as it is, behind `|` and `-->`. Lines after the first begin two columns further right.
pub(crate) fn folded(text: &str, width: usize) -> String {
    text.lines()
        .map(
            |line| match line.starts_with("  |") || line.contains("-->") {
                true => line.to_owned(),
                false => folded_line(line, width),
            },
        )
        .map(|line| line + "\n")
        .collect()
}

fn folded_line(line: &str, width: usize) -> String {
    let indent = line.len() - line.trim_start().len() + 2;
    let mut folded = String::with_capacity(line.len());
    let mut column = 0;
    for word in words(line) {
        let room = columns(word);
        if column == 0 {
            column = room;
        } else if column + 1 + room <= width {
            folded.push(' ');
            column += 1 + room;
        } else {
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', indent));
            column = indent + room;
        }
        folded.push_str(word);
    }
    folded
}

/// The words of a line, those between backticks as one. The spaces that a line begins
/// with are part of its first.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let begin = line.len() - line.trim_start().len();
    let mut is_quoted = false;
    let mut is_begun = false;
    line.split(move |character| {
        is_quoted ^= character == '`';
        is_begun |= character != ' ';
        character == ' ' && is_begun && !is_quoted
    })
    .filter(move |word| !word.is_empty() || begin == line.len())
}

/// As wide as a word is without what only colours it.
pub(super) fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text)
        .to_string()
        .chars()
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sentence_is_broken_between_words() {
        let text = "error: service `api` ended with exit code 3 before it was ready\n";
        assert_eq!(
            folded(text, 30),
            "error: service `api` ended\n  with exit code 3 before it\n  was ready\n"
        );
        assert_eq!(folded(text, 80), text);
    }

    #[test]
    fn a_command_to_copy_is_one_piece() {
        let hint = "hint: see why: `cosmos logs api --tail 50`\n";
        assert_eq!(
            folded(hint, 30),
            "hint: see why:\n  `cosmos logs api --tail 50`\n"
        );
        assert_eq!(
            folded(hint, 20),
            "hint: see why:\n  `cosmos logs api --tail 50`\n"
        );
    }

    #[test]
    fn what_a_program_said_stays_as_it_is() {
        let said = "  | a line of a program that is long\n  --> api/Dockerfile: 7 and more\n";
        assert_eq!(folded(said, 10), said);
    }

    #[test]
    fn colours_take_no_room() {
        let text = "\u{1b}[31merror\u{1b}[0m: a b\n";
        assert_eq!(folded(text, 10), text);
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_and_no_line_is_wider_without_need(
            text in "[a-z` ]{0,60}",
            width in 5usize..40,
        ) {
            let folded = folded(&text, width);
            let letters = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(letters(&folded), letters(&text));
            for line in folded.lines().filter(|line| columns(line) > width) {
                prop_assert!(words(line.trim_start()).count() < 2, "{:?}", line);
            }
        }
    }
}
