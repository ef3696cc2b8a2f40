//! How many connections and requests the API takes at a time: what the config says, where the machine has room for as many.

use rustix::process::{Resource, getrlimit};

use crate::{api::Room, config::Server};

/// Half of the files that the process may have open is for the way out, the store and the rest: however many clients there
/// are, deliveries find a socket.
pub(super) fn of(server: &Server) -> Room {
    let files = getrlimit(Resource::Nofile).current;
    let room = within(server, files);
    if room.connections < server.max_connections {
        tracing::warn!(
            files,
            connections = room.connections,
            requests = room.requests,
            "the API takes fewer connections than `server.max_connections` says, as the process may not have twice as many \
             files open: raise its limit (`ulimit -Hn`, `LimitNOFILE=`)"
        );
    }
    room
}

/// `files`: how many may be open; none: any number.
fn within(server: &Server, files: Option<u64>) -> Room {
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let connections = server.max_connections.min(files / 2).max(1);
    // Requests can't make room for others: a part of the connections is always of those who can.
    Room { connections, requests: server.max_requests.min(connections - connections / 4).max(1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::app::Origin;

    fn server() -> Server {
        Origin::default().load().unwrap().server
    }

    #[test]
    fn connections_leave_half_of_all_files_to_the_way_out_and_requests_leave_some_connections() {
        let room = |files| within(&server(), files);
        assert_eq!(room(None), Room { connections: 2048, requests: 1024 });
        assert_eq!(room(Some(1 << 20)), room(None));
        assert_eq!(room(Some(1024)), Room { connections: 512, requests: 384 });
        assert_eq!(room(Some(3)), Room { connections: 1, requests: 1 });
    }
}
