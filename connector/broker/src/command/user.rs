//! Users and what they may do. The root user belongs to the configuration: its name, password and permissions
//! cannot be changed here.

use iggy_binary_protocol::codes::{
    CHANGE_PASSWORD_CODE, CREATE_USER_CODE, DELETE_USER_CODE, GET_USER_CODE, GET_USERS_CODE,
    UPDATE_PERMISSIONS_CODE, UPDATE_USER_CODE,
};
use iggy_binary_protocol::primitives::permissions::WirePermissions;
use iggy_binary_protocol::requests::users::{
    ChangePasswordRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest, UpdatePermissionsRequest,
    UpdateUserRequest,
};
use iggy_binary_protocol::responses::users::{GetUsersResponse, UserDetailsResponse, UserResponse};
use iggy_binary_protocol::{WireEncode, WireIdentifier, WireName, WireOptions};
use iggy_common::{IggyErrorDiscriminants as Code, UserStatus};

use super::session::hold_back;
use super::{Call, change};
use crate::credentials::{PASSWORD_BYTES, USERNAME_BYTES};
use crate::password::Verdict;
use crate::user::{Action, NewUser, ROOT_USER_ID, User, UserChange};
use crate::wire::{Payload, Refusal};

/// The longest permissions of one user: those for some twenty thousand topics.
const PERMISSIONS_BYTES_MAX: usize = 256 * 1024;

pub(super) async fn run(code: u32, call: Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_USER_CODE => get(&call),
        GET_USERS_CODE => list(&call),
        CREATE_USER_CODE => create(&call).await,
        UPDATE_USER_CODE => update(&call),
        DELETE_USER_CODE => delete(&call),
        UPDATE_PERMISSIONS_CODE => update_permissions(&call),
        CHANGE_PASSWORD_CODE => change_password(call).await,
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn get(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: GetUserRequest = call.decode()?;
    let Some(user) = call.engine.users.find(&request.user_id) else { return Ok(Payload::empty()) };
    if user.meta.id != call.user.meta.id {
        call.require(Action::ReadUsers)?;
    }
    Ok(Payload::of(&details(&user)?))
}

fn list(call: &Call<'_>) -> Result<Payload, Refusal> {
    call.require(Action::ReadUsers)?;
    let users: Result<Vec<_>, Refusal> = call.engine.users.list().iter().map(|user| response(user)).collect();
    Ok(Payload::of(&GetUsersResponse { users: users? }))
}

async fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreateUserRequest = call.decode()?;
    call.require(Action::ManageUsers)?;
    require_no_options(&request.options)?;
    require_name(&request.username)?;
    require_status(request.status)?;
    require_password(&request.password)?;
    require_bounded(request.permissions.as_ref())?;
    let users = &call.engine.users;
    if users.named(&request.username).is_some() {
        return Err(Code::UserAlreadyExists.into());
    }
    let password_hash = call.engine.gate.hash(&request.password).await?;
    let CreateUserRequest { username, status, permissions, .. } = request;
    let new = NewUser { name: &username, password_hash, status, permissions };
    let user = change(|| users.create(new, call.engine.limits.users_max))?;
    Ok(Payload::of(&details(&user)?))
}

fn update(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: UpdateUserRequest = call.decode()?;
    let id = managed(call, &request.user_id, Code::FeatureUnavailable)?;
    require_no_options(&request.options)?;
    request.username.as_ref().map_or(Ok(()), require_name)?;
    request.status.map_or(Ok(()), require_status)?;
    let profile = UserChange::Profile { name: request.username.as_ref(), status: request.status };
    change(|| call.engine.users.update(id, profile))?;
    Ok(Payload::empty())
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeleteUserRequest = call.decode()?;
    let id = managed(call, &request.user_id, Code::CannotDeleteUser)?;
    change(|| call.engine.users.delete(id))?;
    Ok(Payload::empty())
}

fn update_permissions(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: UpdatePermissionsRequest = call.decode()?;
    let id = managed(call, &request.user_id, Code::CannotChangePermissions)?;
    require_bounded(request.permissions.as_ref())?;
    change(|| call.engine.users.update(id, UserChange::Permissions(request.permissions)))?;
    Ok(Payload::empty())
}

/// Everybody may change their own password, knowing the current one.
async fn change_password(call: Call<'_>) -> Result<Payload, Refusal> {
    let request: ChangePasswordRequest = call.decode()?;
    let users = &call.engine.users;
    let user = users.find(&request.user_id).ok_or(Code::ResourceNotFound)?;
    let id = user.meta.id;
    if id != call.user.meta.id {
        call.require(Action::ManageUsers)?;
    }
    if id == ROOT_USER_ID {
        return Err(Code::FeatureUnavailable.into());
    }
    require_password(&request.new_password)?;
    let gate = &call.engine.gate;
    if gate.check(Some(&user.meta.password_hash), &request.current_password).await == Verdict::Wrong {
        hold_back(gate, call.peer).await;
        return Err(Code::InvalidCredentials.into());
    }
    let hash = gate.hash(&request.new_password).await?;
    change(|| users.update(id, UserChange::Password(hash)))?;
    Ok(Payload::empty())
}

/// The number of a user that the caller may change. About the root user, the answer is `refused`.
fn managed(call: &Call<'_>, user_id: &WireIdentifier, refused: Code) -> Result<u32, Refusal> {
    call.require(Action::ManageUsers)?;
    match call.engine.users.find(user_id).ok_or(Code::ResourceNotFound)?.meta.id {
        ROOT_USER_ID => Err(refused.into()),
        id => Ok(id),
    }
}

/// Users have no options, and one that is stored without effect would be a lie.
fn require_no_options(options: &WireOptions) -> Result<(), Refusal> {
    if options.is_empty() { Ok(()) } else { Err(Code::UnsupportedOptionKey.into()) }
}

fn require_name(name: &WireName) -> Result<(), Refusal> {
    if USERNAME_BYTES.contains(&name.len()) { Ok(()) } else { Err(Code::InvalidUsername.into()) }
}

fn require_password(password: &str) -> Result<(), Refusal> {
    if PASSWORD_BYTES.contains(&password.len()) { Ok(()) } else { Err(Code::InvalidPassword.into()) }
}

fn require_status(status: u8) -> Result<(), Refusal> {
    UserStatus::from_code(status).map(|_known| ()).map_err(|_| Code::InvalidUserStatus.into())
}

fn require_bounded(permissions: Option<&WirePermissions>) -> Result<(), Refusal> {
    let bytes = permissions.map_or(0, WireEncode::encoded_size);
    if bytes <= PERMISSIONS_BYTES_MAX { Ok(()) } else { Err(Code::InvalidFormat.into()) }
}

fn details(user: &User) -> Result<UserDetailsResponse, Refusal> {
    Ok(UserDetailsResponse { user: response(user)?, permissions: user.permissions.clone() })
}

fn response(user: &User) -> Result<UserResponse, Refusal> {
    Ok(UserResponse {
        id: user.meta.id,
        created_at: user.meta.created_at_micros,
        status: user.meta.status,
        username: WireName::new(user.meta.name.as_str())?,
        options: WireOptions::empty(),
    })
}
