//! Lists as text. Pure.

/// `1,2,3`.
pub(crate) fn join(items: impl IntoIterator<Item = impl ToString>) -> String {
    join_with(",", items)
}

/// The items with this separator between them.
pub(crate) fn join_with(separator: &str, items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(separator)
}
