//! Header and trailer fields, in the order of their arrival.

/// Header fields in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, Vec<u8>)>);

impl Fields {
    /// The first value of a field.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        let is_named = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .find(is_named)
            .map(|(_, value)| value.as_slice())
    }

    /// Every value of a field, line by line.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }

    /// The elements of a comma-separated list, over all its lines and in lower case.
    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        let lists = self.all(name).map(String::from_utf8_lossy);
        let mut elements = Vec::new();
        for list in lists {
            let found = list.split(',').map(|element| element.trim().to_lowercase());
            elements.extend(found.filter(|element| !element.is_empty()));
        }
        elements
    }

    /// The first value as text. An empty value counts as absent, as on the platform.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.first(name).map(String::from_utf8_lossy)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether a comma-separated list contains the token, which is in lower case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.elements(name).iter().any(|element| element == token)
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
    }

    /// Replaces a field.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.push(name, value);
    }

    /// Removes the fields whose lower-case name matches.
    pub(crate) fn drop_where(&mut self, test: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| !test(&name.to_ascii_lowercase()));
    }

    /// Appends the field lines and the empty line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}
