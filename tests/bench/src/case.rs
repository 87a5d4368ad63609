//! What is asked, and who is asked.

use serde::{Deserialize, Serialize};

/// One kind of request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Ord, PartialOrd, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// `GET /v2/images/{image}/members/{member}` by the image's owner.
    ShowMember,
    /// `GET /v2/images/{image}/members` by the image's owner.
    ListMembers,
    /// `PUT /v2/images/{image}/members/{member}` by the member, `accepted` and `rejected` in turn.
    UpdateStatus,
    /// `POST /v2/images/{image}/members` and, when it is answered, `DELETE` of the same member; two requests.
    AddRemove,
    /// `GET /v2/images/{image}` by its owner.
    ShowImage,
    /// `GET /v2/images` by a project with some 16 images and 200 shares.
    List,
    /// `GET /v2/images` by a project with N/40 shares.
    ListMany,
    /// `GET /v2/images?visibility=shared&member_status=pending&limit=25`.
    Inbox,
    /// `GET /v2/images?marker={an old public image}`.
    DeepMarker,
    /// `GET /v2/schemas/member`, a token that is known already: no database, no Keystone.
    Schema,
    /// The same, each token for the first time: Keystone is asked.
    TokenMiss,
    /// A path that does not exist, a token that is known: 404 without a database.
    UnknownPath,
    /// Anything, of a handler that does nothing.
    Nothing,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Ord, PartialOrd, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// Vitrine.
    Vitrine,
    /// Postgres itself: the statements that Vitrine sends, sent by pgbench.
    Pgbench,
    /// Glance with the indexes it comes with.
    Glance,
    /// Glance with the three indexes that it lacks.
    GlanceIndexed,
    /// An actix handler that does nothing.
    Empty,
}

/// How hard it is asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Ord, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Every connection asks again as soon as it is answered.
    Saturated,
    /// Each connection thinks in between, so that 70 % of the saturated rate is asked for.
    Seventy,
    /// One connection, no thinking: how long one answer takes when nobody else asks.
    Alone,
}

impl Case {
    /// All, in the order in which they are measured and told.
    pub(crate) const ALL: [Self; 13] = [
        Self::ShowMember,
        Self::ListMembers,
        Self::UpdateStatus,
        Self::AddRemove,
        Self::ShowImage,
        Self::List,
        Self::ListMany,
        Self::Inbox,
        Self::DeepMarker,
        Self::Schema,
        Self::UnknownPath,
        Self::Nothing,
        Self::TokenMiss,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ShowMember => "show member",
            Self::ListMembers => "list members",
            Self::UpdateStatus => "update status",
            Self::AddRemove => "add, then remove member",
            Self::ShowImage => "show image",
            Self::List => "list images",
            Self::ListMany => "list images, thousands of shares",
            Self::Inbox => "inbox",
            Self::DeepMarker => "list images, deep marker",
            Self::Schema => "schema document",
            Self::TokenMiss => "schema document, unknown token",
            Self::UnknownPath => "404 without database",
            Self::Nothing => "nothing",
        }
    }

    /// Whether the answer comes from the records.
    pub(crate) fn reads_records(self) -> bool {
        !matches!(self, Self::Schema | Self::TokenMiss | Self::UnknownPath | Self::Nothing)
    }

    /// Whether it is a page of images.
    pub(crate) fn lists_images(self) -> bool {
        matches!(self, Self::List | Self::ListMany | Self::Inbox | Self::DeepMarker)
    }

    /// Whether its right answer is a 404.
    pub(crate) fn is_refused(self) -> bool {
        self == Self::UnknownPath
    }

    /// Those that can be asked this.
    pub(crate) fn sides(self) -> &'static [Side] {
        match self {
            Self::ShowMember | Self::ListMembers | Self::UpdateStatus | Self::AddRemove | Self::ShowImage => {
                &[Side::Vitrine, Side::Pgbench, Side::Glance]
            }
            Self::List | Self::Inbox | Self::DeepMarker => {
                &[Side::Vitrine, Side::Pgbench, Side::Glance, Side::GlanceIndexed]
            }
            Self::ListMany => &[Side::Vitrine, Side::Pgbench],
            Self::Schema | Self::TokenMiss => &[Side::Vitrine, Side::Glance],
            Self::UnknownPath => &[Side::Vitrine],
            Self::Nothing => &[Side::Empty],
        }
    }
}

impl Side {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vitrine => "Vitrine",
            Self::Pgbench => "pgbench",
            Self::Glance => "Glance",
            Self::GlanceIndexed => "Glance with indexes A, B, C",
            Self::Empty => "empty handler",
        }
    }

    /// Connections at once when it is saturated: as many as it has workers where more would only wait.
    pub(crate) fn connections(self, case: Case) -> u32 {
        match self {
            Self::Vitrine | Self::Glance if case == Case::TokenMiss => 4,
            Self::Vitrine | Self::Empty => 64,
            Self::Pgbench | Self::Glance | Self::GlanceIndexed => 8,
        }
    }
}
