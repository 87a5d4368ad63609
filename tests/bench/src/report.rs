//! What a run tells: blocks of text for the document, and plots.

pub(crate) mod figures;
mod goals;
mod pictures;
mod tables;

use std::{fs, path::Path};

use crate::{
    failure::{Failure, Result},
    results::Results,
};

pub(crate) use self::{figures::number, pictures::plots};

/// The blocks of the document, by name and in order.
pub(crate) fn blocks(results: &Results) -> Vec<(&'static str, String)> {
    vec![
        ("machine", tables::machine(results)),
        ("goals", goals::table(results)),
        ("rates", tables::rates(results)),
        ("lists", tables::lists(results)),
        ("latency", tables::latency(results)),
        ("processor", tables::processor(results)),
        ("memory", tables::memory(results)),
        ("statements", tables::statements(results)),
        ("doubts", tables::doubts(results)),
    ]
}

/// Puts each block between its marks: `<!-- measured: NAME -->` and `<!-- end -->`. The rest of the document is
/// written by people and stays.
pub(crate) fn document(path: &Path, blocks: &[(&str, String)]) -> Result<()> {
    let text = fs::read_to_string(path).map_err(|error| Failure::doing(path.display(), error))?;
    let text = filled(&text, blocks)?;
    fs::write(path, text).map_err(|error| Failure::doing(path.display(), error))
}

fn filled(text: &str, blocks: &[(&str, String)]) -> Result<String> {
    const END: &str = "<!-- end -->";
    let mut text = text.to_owned();
    for (name, block) in blocks {
        let mark = format!("<!-- measured: {name} -->");
        let (before, rest) =
            text.split_once(&mark).ok_or_else(|| Failure::new(format!("the document has no line {mark}")))?;
        let (_, after) = rest
            .split_once(END)
            .ok_or_else(|| Failure::new(format!("the document has no {END} behind {mark}")))?;
        text = format!("{before}{mark}\n{}\n{END}{after}", block.trim_end());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn a_block_is_replaced_and_what_people_wrote_stays() {
        let text =
            "# Title\n<!-- measured: a -->\nold\n<!-- end -->\nprose\n<!-- measured: b -->\n<!-- end -->\n";
        let blocks = [("a", "new\n".to_owned()), ("b", "more".to_owned())];
        let once = filled(text, &blocks).unwrap();
        assert_eq!(
            once,
            "# Title\n<!-- measured: a -->\nnew\n<!-- end -->\nprose\n<!-- measured: b -->\nmore\n<!-- end -->\n"
        );
        assert_eq!(filled(&once, &blocks).unwrap(), once);
    }

    #[test]
    fn a_document_without_the_mark_is_refused() {
        assert!(filled("prose", &[("a", String::new())]).is_err());
    }
}
