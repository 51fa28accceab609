//! `[limits]` and `[limits.<service>]`: changes to the defaults that each service brings along.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{net::limits::Limits, units::Span};

/// The changes for all services, and those for single ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct LimitSettings {
    #[serde(flatten)]
    pub all: LimitChanges,
    #[serde(flatten)]
    pub services: BTreeMap<String, LimitChanges>,
}

macro_rules! changes {
    ($($name:ident: $type:ty),+ $(,)?) => {
        /// Keys of [`Limits`] with the values that replace the default ones.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case", default)]
        pub(crate) struct LimitChanges {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>),+
        }

        impl LimitChanges {
            /// Puts the changes into `limits`.
            pub(crate) fn apply(&self, limits: &mut Limits) {
                $(if let Some(value) = self.$name { limits.$name = value; })+
            }

            /// What has to change in `all` to get `own`.
            pub(crate) fn differing(own: &Limits, all: &Limits) -> LimitChanges {
                LimitChanges { $($name: (own.$name != all.$name).then_some(own.$name)),+ }
            }

            pub(crate) fn is_empty(&self) -> bool {
                $(self.$name.is_none())&&+
            }
        }

        impl From<Limits> for LimitChanges {
            fn from(limits: Limits) -> LimitChanges {
                LimitChanges { $($name: Some(limits.$name)),+ }
            }
        }
    };
}

changes! {
    connections: usize,
    connections_per_address: usize,
    idle: Span,
    line: Span,
    stall: Span,
    stall_octets: u64,
    handshake: Span,
}
