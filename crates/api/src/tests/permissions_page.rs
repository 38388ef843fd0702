//! The page of documentation that lists the permissions of each API.

use expect_test::expect_file;

use crate::table::TABLE;

/// Returns the page, as the table of APIs has it.
fn page() -> String {
    let mut page = "# Permissions of each API

A test generates this page from the table of APIs in `crates/api`; to update it:
`UPDATE_EXPECT=1 cargo test -p dohle-api`. [security.md](security.md#permissions) explains how ACLs
give permissions.

The operations are those for what a request names and does: Produce depends on Write on each of its
topics, and on its transactional id if it has one.

| API | Operations by type of resource |
|---|---|
"
    .to_owned();
    let mut rows: Vec<_> = TABLE.iter().collect();
    rows.sort_by_key(|api| format!("{:?}", api.key));
    for api in rows {
        let needs: Vec<String> = (api.access.iter())
            .map(|(kind, operation)| format!("{kind:?} {operation:?}"))
            .collect();
        let needs = match needs.is_empty() {
            true => "none".to_owned(),
            false => needs.join(", "),
        };
        page += &format!("| {:?} | {needs} |\n", api.key);
    }
    page
}

#[test]
fn the_page_of_permissions_says_what_the_table_says() {
    expect_file!["../../../../docs/permissions.md"].assert_eq(&page());
}
