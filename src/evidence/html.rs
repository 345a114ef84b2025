//! Escaped HTML: text goes in through [`Html::text`] and comes out as text, whatever stands in it.

use tacitly_core::text::is_printable;

/// A piece of a page.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Text between or inside tags.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                character if is_printable(character) => self.0.push(character),
                character => self.0.extend(character.escape_unicode()),
            }
        }
        self
    }

    /// A tag of ours; a literal, so that nothing from outside can be one.
    pub(super) fn tag(&mut self, tag: &'static str) -> &mut Self {
        self.0.push_str(tag);
        self
    }

    /// Chinese and English of one sentence, side by side.
    pub(super) fn both(&mut self, (chinese, english): (&str, &str)) -> &mut Self {
        self.tag("<div class=both><p lang=zh-Hans>").text(chinese);
        self.tag("</p><p lang=en>").text(english).tag("</p></div>\n")
    }

    /// A heading in both languages.
    pub(super) fn heading(&mut self, (chinese, english): (&str, &str)) -> &mut Self {
        self.tag("<h2><span lang=zh-Hans>").text(chinese);
        self.tag("</span> <span lang=en>").text(english).tag("</span></h2>\n")
    }

    /// A row of a table: a label in both languages, and a value.
    pub(super) fn row(&mut self, (chinese, english): (&str, &str), value: &str) -> &mut Self {
        self.row_with((chinese, english), |cell| {
            cell.text(value);
        })
    }

    /// A row whose value is more than a text.
    pub(super) fn row_with(&mut self, (chinese, english): (&str, &str), value: impl FnOnce(&mut Self)) -> &mut Self {
        self.tag("<tr><th><span lang=zh-Hans>").text(chinese).tag("</span> <span lang=en>");
        self.text(english).tag("</span></th><td>");
        value(self);
        self.tag("</td></tr>\n")
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text_and_nothing_else() {
        let mut html = Html::default();
        html.row(("甲", "A"), r#"<script>alert("1")</script>&amp;' onload='x"#);
        html.row(("乙", "B"), "a\u{202e}b\x1b\u{200b}");
        let page = html.into_string();
        assert!(page.contains("a\\u{202e}b\\u{1b}\\u{200b}"), "{page}");
        assert!(!page.contains("<script") && !page.contains("' onload"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39; onload=&#39;x"),
            "{page}"
        );
    }
}
