//! As much of YAML as a `pve.yml` may hold, read as PyYAML reads it: words such as `yes` and `off` are truth values, `<<` merges.
//!
//! No error repeats any of the text: there are passwords in it.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use thiserror::Error;

/// More than any file needs, aliases written out: an anchor that is used by anchors must not fill the memory.
const MOST: Size = Size {
    nodes: 20_000,
    bytes: 1 << 20,
};

const DEEPEST: usize = 32;

/// A file that cannot be read, without its text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub(super) struct YamlError {
    line: usize,
    problem: &'static str,
}

/// A value, and the line where it begins.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    /// Text; a plain one stands without quotes, so that it may mean something else.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys in their order, each once.
    Mapping(Mapping),
}

type Mapping = Vec<(String, Node)>;

impl Node {
    /// Whether it is nothing: `~`, `null`, or no text at all.
    pub(super) fn is_null(&self) -> bool {
        let Value::Scalar { text, plain: true } = &self.value else {
            return false;
        };
        matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// The text of a scalar, as it is written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// A truth value; one in quotes is text.
    pub(super) fn truth(&self) -> Option<bool> {
        let Value::Scalar { text, plain: true } = &self.value else {
            return None;
        };
        match &**text {
            "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "1" => Some(true),
            "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" | "0" => Some(false),
            _ => None,
        }
    }
}

/// Reads the only document of `text`; nothing where there is none.
pub(super) fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        read: Size::default(),
        line: 1,
    };
    let mut document = None;
    loop {
        match reader.event()?.0 {
            Event::StreamEnd => return Ok(document),
            Event::DocumentStart(_) if document.is_some() => return reader.fail("begins a second document"),
            Event::DocumentStart(_) => {
                let first = reader.event()?;
                document = Some(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Rc<Node>, Size)>,
    read: Size,
    line: usize,
}

/// How much there is of it.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, problem: &'static str) -> Result<T, YamlError> {
        Err(YamlError {
            line: self.line,
            problem,
        })
    }

    fn event(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok((event, span))
            }
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line(),
                problem: "is no YAML; look for a missing colon or quote, or wrong indentation",
            }),
            None => self.fail("ends too early"),
        }
    }

    fn count(&mut self, more: Size) -> Result<(), YamlError> {
        self.read.nodes += more.nodes;
        self.read.bytes += more.bytes;
        if self.read.nodes > MOST.nodes || self.read.bytes > MOST.bytes {
            return self.fail("makes it too large");
        }
        Ok(())
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Node, YamlError> {
        if depth > DEEPEST {
            return self.fail("is nested too deep");
        }
        let (line, before) = (span.start.line(), self.read);
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return self.fail("refers to an anchor that does not exist, or is not complete yet");
                };
                self.count(size)?;
                return Ok(Node::clone(&node));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref())?;
                self.count(Size {
                    nodes: 1,
                    bytes: text.len(),
                })?;
                let text = text.into_owned();
                (anchor, Value::Scalar { text, plain })
            }
            Event::SequenceStart(anchor, tag) => {
                self.is_text(tag.as_deref())?;
                self.count(Size { nodes: 1, bytes: 0 })?;
                let mut list = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, _) => break (anchor, Value::List(list)),
                        event => list.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                self.is_text(tag.as_deref())?;
                self.count(Size { nodes: 1, bytes: 0 })?;
                (anchor, Value::Mapping(self.mapping(depth)?))
            }
            _ => return self.fail("is not understood"),
        };
        let node = Node { line, value };
        if anchor > 0 {
            let size = Size {
                nodes: self.read.nodes - before.nodes,
                bytes: self.read.bytes - before.bytes,
            };
            self.anchors.insert(anchor, (Rc::new(node.clone()), size));
        }
        Ok(node)
    }

    /// Whether a tag says that a scalar is text. Those of programs are refused, as PyYAML does.
    fn is_text(&self, tag: Option<&Tag>) -> Result<bool, YamlError> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
            Some(_) => self.fail("has a tag of its own, which nobody understands here"),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Mapping, YamlError> {
        let (mut own, mut merged) = (Mapping::new(), Mapping::new());
        loop {
            let event = self.event()?;
            if event.0 == Event::MappingEnd {
                break;
            }
            let key = self.node(event, depth + 1)?;
            let value = self.event()?;
            let value = self.node(value, depth + 1)?;
            let Value::Scalar { text, plain } = key.value else {
                return self.fail("has a key that is no text");
            };
            if plain && text == "<<" {
                self.merge(value, &mut merged)?;
            } else {
                own.retain(|(name, _)| *name != text);
                own.push((text, value));
            }
        }
        merged.retain(|(name, _)| own.iter().all(|(key, _)| key != name));
        own.extend(merged);
        Ok(own)
    }

    /// Adds the keys of one mapping or of several, the first of which counts. Of several merges the last one does.
    fn merge(&self, value: Node, merged: &mut Mapping) -> Result<(), YamlError> {
        let mappings = match value.value {
            Value::Mapping(mapping) => vec![mapping],
            Value::List(list) => {
                let mappings = list.into_iter().map(|node| match node.value {
                    Value::Mapping(mapping) => Some(mapping),
                    _ => None,
                });
                match mappings.collect::<Option<Vec<_>>>() {
                    Some(mappings) => mappings,
                    None => return self.fail("merges what is no mapping"),
                }
            }
            Value::Scalar { .. } => return self.fail("merges what is no mapping"),
        };
        let mut these = Mapping::new();
        for (key, value) in mappings.into_iter().flatten() {
            if these.iter().all(|(name, _)| *name != key) {
                these.push((key, value));
            }
        }
        merged.retain(|(name, _)| these.iter().all(|(key, _)| key != name));
        merged.extend(these);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, plain: true } => text.clone(),
            Value::Scalar { text, plain: false } => format!("{text:?}"),
            Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Mapping(mapping) => {
                let pairs: Vec<_> = mapping
                    .iter()
                    .map(|(key, value)| format!("{key}={}", shown(value)))
                    .collect();
                format!("{{{}}}", pairs.join(" "))
            }
        }
    }

    fn read(text: &str) -> String {
        match parse(text) {
            Ok(node) => node.map_or_else(String::new, |node| shown(&node)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_pve_yml_files_hold() {
        assert_eq!(read(""), "");
        assert_eq!(read("# nothing\n---\n"), "");
        assert_eq!(
            read("---\ndefault:\n  user: a@pve # me\n  password: 'x: #y'\n  verify_ssl: false\n"),
            r#"{default={user=a@pve password="x: #y" verify_ssl=false}}"#
        );
        assert_eq!(
            read("a: &a {user: u, port: 1}\nb: {<<: *a, port: 2}\nc: {<<: [{port: 3}, *a]}\nd: *a\n"),
            "{a={user=u port=1} b={port=2 user=u} c={port=3 user=u} d={user=u port=1}}"
        );
        assert_eq!(
            read("a: &a {x: 1, y: 1}\nb: &b {x: 2}\nc: {<<: *a, <<: *b}\nd: {<<: [*a, *b]}\n"),
            "{a={x=1 y=1} b={x=2} c={y=1 x=2} d={x=1 y=1}}"
        );
        assert_eq!(
            read("a: {x: 1, x: 2}\nl: [10.0.0.0/8, 'b']"),
            r#"{a={x=2} l=[10.0.0.0/8 "b"]}"#
        );
    }

    #[test]
    fn truth_is_what_pyyaml_takes_for_it() {
        for (text, expected) in [
            ("yes", Some(true)),
            ("On", Some(true)),
            ("TRUE", Some(true)),
            ("no", Some(false)),
            ("off", Some(false)),
            ("0", Some(false)),
            ("y", None),
            ("'no'", None),
            ("\"false\"", None),
            ("!!str no", None),
            ("", None),
        ] {
            assert_eq!(
                parse(&format!("- {text}")).unwrap().map(|node| node.truth_of_first()),
                Some(expected),
                "{text}"
            );
        }
    }

    impl Node {
        fn truth_of_first(&self) -> Option<bool> {
            let Value::List(list) = &self.value else { panic!() };
            list[0].truth()
        }
    }

    #[test]
    fn errors_repeat_nothing() {
        for (text, expected) in [
            ("a:\n  password: hunter2\n bad\n", "is no YAML"),
            ("a: \"hunter2\n", "is no YAML"),
            ("a: !hunter2 b\n", "has a tag"),
            ("a: *hunter2\n", ""),
            ("? [hunter2]\n: 1\n", "a key that is no text"),
            ("a: 1\n---\nhunter2: 1\n", "second document"),
            ("a: {<<: hunter2}\n", "no mapping"),
            ("a: &a [*a]\n", "anchor"),
        ] {
            let error = read(text);
            assert!(error.starts_with("line "), "{error}");
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(8);
            text += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert!(read(&text).contains("too large"));
        let text = format!("- &a {}\n{}", "x".repeat(100_000), "- *a\n".repeat(1000));
        assert!(read(&text).contains("line 11: makes it too large"), "{}", read(&text));
        assert!(read(&"[".repeat(200)).contains("line "));
    }
}
