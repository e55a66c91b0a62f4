//! Questions about the broker itself and its connections.

use iggy_binary_protocol::WireEncode;
use iggy_binary_protocol::codes::{
    DESCRIBE_OPTIONS_CODE, GET_CLIENT_CODE, GET_CLIENTS_CODE, GET_CLUSTER_METADATA_CODE, GET_ME_CODE,
    GET_STATS_CODE,
};
use iggy_binary_protocol::requests::system::describe_options::OPTIONS_SCOPE_TOPIC;
use iggy_binary_protocol::requests::system::{DescribeOptionsRequest, GetClientRequest};
use iggy_binary_protocol::responses::clients::{
    ClientDetailsResponse, ClientResponse, ConsumerGroupInfoResponse, GetClientsResponse,
};
use iggy_binary_protocol::responses::system::{
    ClusterMetadataResponse, ClusterNodeResponse, DescribeOptionsResponse,
};
use iggy_common::IggyErrorDiscriminants as Code;

use super::Call;
use super::stats::stats;
use crate::catalog::describe_topic_options;
use crate::group::MemberId;
use crate::user::Action;
use crate::wire::{Payload, Refusal};

const TRANSPORT_TCP: u8 = 1;
const ROLE_LEADER: u8 = 0;
const STATUS_HEALTHY: u8 = 0;
/// The user of a connection that has not logged in.
const NO_USER_ID: u32 = u32::MAX;

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_CLUSTER_METADATA_CODE => Ok(Payload::of(&cluster(call))),
        GET_STATS_CODE => {
            call.require(Action::ReadServer)?;
            Ok(Payload::of(&super::change(|| stats(call))?))
        }
        DESCRIBE_OPTIONS_CODE => describe_options(call),
        GET_ME_CODE => Ok(Payload::of_option(client(call, call.peer.id).as_ref())),
        GET_CLIENT_CODE => {
            let request: GetClientRequest = call.decode()?;
            call.require(Action::ReadServer)?;
            Ok(Payload::of_option(client(call, MemberId(request.client_id)).as_ref()))
        }
        GET_CLIENTS_CODE => {
            call.require(Action::ReadServer)?;
            Ok(Payload::of(&GetClientsResponse { clients: clients(call) }))
        }
        // Snapshots of the process, and what serves clusters of several nodes.
        _ => Err(Code::FeatureUnavailable.into()),
    }
}

/// A cluster of one. Clients dial this address again after a failure, so it is the one they dialed.
fn cluster(call: &Call<'_>) -> impl WireEncode {
    let node = ClusterNodeResponse {
        name: "guesthouse".to_owned(),
        ip: call.peer.local.ip().to_string(),
        tcp_port: call.peer.local.port(),
        quic_port: 0,
        http_port: 0,
        websocket_port: 0,
        role: ROLE_LEADER,
        status: STATUS_HEALTHY,
    };
    ClusterMetadataResponse { name: "single-node".to_owned(), nodes: vec![node] }
}

/// The options that a scope knows. Streams and users have none.
fn describe_options(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DescribeOptionsRequest = call.decode()?;
    let entries = match request.scope {
        OPTIONS_SCOPE_TOPIC => describe_topic_options(call.engine.catalog.segment_bytes_default())?,
        _ => Vec::new(),
    };
    Ok(Payload::of(&DescribeOptionsResponse { entries }))
}

fn clients(call: &Call<'_>) -> Vec<ClientResponse> {
    let peers = call.engine.peers.list();
    let groups = call.engine.groups();
    let of = |(id, remote, user_id): (MemberId, std::net::SocketAddr, Option<u32>)| ClientResponse {
        client_id: id.0,
        user_id: user_id.unwrap_or(NO_USER_ID),
        transport: TRANSPORT_TCP,
        address: remote.to_string(),
        consumer_groups_count: u32::try_from(groups.of_member(id).len()).unwrap_or(u32::MAX),
    };
    peers.into_iter().map(of).collect()
}

fn client(call: &Call<'_>, id: MemberId) -> Option<ClientDetailsResponse> {
    let client = clients(call).into_iter().find(|client| client.client_id == id.0)?;
    let keys = call.engine.groups().of_member(id);
    let groups = keys.into_iter().map(|key| ConsumerGroupInfoResponse {
        stream_id: key.stream_id,
        topic_id: key.topic_id,
        group_id: key.group_id,
    });
    Some(ClientDetailsResponse { client, consumer_groups: groups.collect() })
}
