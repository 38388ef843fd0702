//! The ids of groups and their members.

use dohle_model::text_id;

text_id! {
    /// `group.id`. May be empty only where old clients commit offsets without membership.
    GroupId
}
text_id! {
    /// A member's id: given by the coordinator (classic), or made by the member (KIP-848).
    MemberId
}
text_id! {
    /// `group.instance.id` of a static member (KIP-345).
    InstanceId
}
