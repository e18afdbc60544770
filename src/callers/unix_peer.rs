//! Callers that are known by the user or group that they run as, on a unix socket.

use std::sync::Arc;

use crate::downstream::Peer;

/// A caller that runs as somebody on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixCaller {
    /// Its name in the file.
    pub name: Arc<str>,
    /// The user that it runs as; any where it is none.
    pub uid: Option<u32>,
    /// The group that it runs as; any where it is none.
    pub gid: Option<u32>,
    /// Whether the users that it names are believed.
    pub may_name_users: bool,
}

impl UnixCaller {
    /// Whether `peer` is this caller.
    pub fn is(&self, peer: Peer) -> bool {
        let Peer::Unix { uid, gid } = peer else {
            return false;
        };
        // One that asks for nothing is nobody.
        (self.uid.is_some() || self.gid.is_some())
            && self.uid.is_none_or(|own| own == uid)
            && self.gid.is_none_or(|own| own == gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: Option<u32>, gid: Option<u32>) -> UnixCaller {
        UnixCaller {
            name: "batch".into(),
            uid,
            gid,
            may_name_users: false,
        }
    }

    #[test]
    fn a_caller_is_who_runs_as_it() {
        let peer = Peer::Unix { uid: 7, gid: 8 };
        for (uid, gid, is) in [
            (Some(7), None, true),
            (None, Some(8), true),
            (Some(7), Some(8), true),
            (Some(7), Some(9), false),
            (Some(8), None, false),
            (None, None, false),
        ] {
            assert_eq!(caller(uid, gid).is(peer), is, "{uid:?} {gid:?}");
        }
        let address = ([127, 0, 0, 1], 7).into();
        assert!(!caller(Some(7), None).is(Peer::Ip(address)));
    }
}
