//! What an export is asked for: whose rows, what of them, and as what; and whether the caller may
//! have it.

use entity::enums::{Action, ExportFormat, Tier};
use entity::{access, profile, user_list};
use jobs::kinds::export::{Export, MAX_PROFILES, not_unlocked};
use jobs::submit::Cost;
use poem::Request;
use poem::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::submit::{self, JobAnswer, Work, options};
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::state::AppState;
use crate::view::JobView;

/// Whose rows are asked for.
pub(super) enum Whose {
    Ids(Vec<Uuid>),
    Names(Vec<String>),
    List(Uuid),
}

impl Whose {
    pub(super) fn of(
        ids: Option<Vec<Uuid>>,
        names: Option<Vec<String>>,
        list: Option<Uuid>,
    ) -> Result<Self, Problem> {
        match (ids, names, list) {
            (Some(ids), None, None) => Ok(Self::Ids(ids)),
            (None, Some(names), None) => Ok(Self::Names(names)),
            (None, None, Some(list)) => Ok(Self::List(list)),
            (None, None, None) => {
                Err(refused("profile_ids", "or usernames, or list_id, is required"))
            }
            _ => Err(refused("profile_ids", "usernames and list_id: send one of them")),
        }
    }

    /// The creators, each once.
    async fn profiles(self, state: &AppState, caller: &Caller) -> Result<Vec<Uuid>, Problem> {
        let scope = state.scope(&caller.0);
        let db = scope.read();
        let (field, mut ids) = match self {
            Self::Ids(ids) => {
                within("profile_ids", ids.len())?;
                let known = profile::known(db, &ids).await?;
                if let Some(missing) = ids.iter().find(|id| !known.contains(id)) {
                    return Err(unknown("profile_ids", &missing.to_string()));
                }
                ("profile_ids", ids)
            }
            Self::Names(names) => {
                within("usernames", names.len())?;
                let mut ids = vec![];
                let handles = names.iter().map(|name| name.parse::<jobs::Handle>());
                let handles = handles.collect::<Result<Vec<_>, _>>();
                let handles = handles.map_err(|rule| refused("usernames", &rule.to_string()))?;
                let texts: Vec<String> = handles.iter().map(ToString::to_string).collect();
                let known = profile::ids_of(db, &texts).await?;
                for name in &texts {
                    let id = known.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
                    ids.push(id.ok_or_else(|| unknown("usernames", name))?);
                }
                ("usernames", ids)
            }
            Self::List(list) => {
                let missing = || {
                    Problem::not_found("list_not_found", format!("no list {list} among yours"))
                        .with("field", "list_id")
                };
                user_list::of_user(db, caller.id(), list).await?.ok_or_else(missing)?;
                let ids = user_list::profiles(db, list, MAX_PROFILES as u32 + 1).await?;
                ("list_id", ids)
            }
        };
        within(field, ids.len())?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// 1 to 1,000.
fn within(field: &str, profiles: usize) -> Result<(), Problem> {
    match profiles {
        0 => Err(refused(field, "holds no creator; send at least one")),
        n if n > MAX_PROFILES => {
            Err(refused(field, &format!("holds {n} creators; at most {MAX_PROFILES} at once")))
        }
        _ => Ok(()),
    }
}

/// What of them is asked for, and as what.
pub(super) struct How {
    profiles: bool,
    posts: bool,
    format: ExportFormat,
    byte_order_mark: bool,
}

impl How {
    pub(super) fn of(
        include: Option<Vec<String>>,
        format: &str,
        byte_order_mark: Option<bool>,
    ) -> Result<Self, Problem> {
        let format: ExportFormat =
            format.parse().map_err(|rule: String| refused("format", &rule))?;
        let include = include.unwrap_or_else(|| vec!["profiles".to_owned()]);
        let known = |word: &String| matches!(word.as_str(), "profiles" | "posts");
        if include.is_empty() || !include.iter().all(known) {
            return Err(refused("include", "must hold profiles, posts, or both"));
        }
        let byte_order_mark = byte_order_mark.unwrap_or(false);
        if byte_order_mark && format != ExportFormat::Csv {
            return Err(refused("byte_order_mark", "is for csv only"));
        }
        let holds = |word: &str| include.iter().any(|one| one == word);
        Ok(Self { profiles: holds("profiles"), posts: holds("posts"), format, byte_order_mark })
    }
}

fn refused(field: &str, rule: &str) -> Problem {
    let detail = format!("{field}: {rule}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_export", detail).with("field", field)
}

fn unknown(field: &str, creator: &str) -> Problem {
    let detail = format!("{field}: {creator} is not stored; fetch the profile first");
    Problem::not_found("profile_not_found", detail).with("field", field).with("creator", creator)
}

/// Starts it, if the caller may have all of it.
pub(super) async fn start(
    state: &AppState,
    caller: &Caller,
    request: &Request,
    prefer: Option<&str>,
    whose: Whose,
    how: How,
) -> Result<JobAnswer<JobView>, Problem> {
    let wait = rules::prefer_wait(prefer)?.unwrap_or(0);
    let user = &caller.0.user;
    if user.subscription_tier == Tier::Free && !user.role.is_admin() {
        let detail = "exports are part of the standard and premium tiers; upgrade to make one";
        return Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "feature_locked", detail)
            .with("feature", "export")
            .with("subscription_tier", user.subscription_tier.as_str())
            .header("X-Feature-Locked", "export")
            .header("X-Subscription-Tier", user.subscription_tier.as_str()));
    }
    let profile_ids = whose.profiles(state, caller).await?;
    let locked = access::locked(state.scope(&caller.0).read(), caller.id(), &profile_ids).await?;
    if !locked.is_empty() {
        let detail = not_unlocked(&locked);
        return Err(Problem::new(StatusCode::FORBIDDEN, "profiles_locked", detail)
            .with("locked", Value::from(locked)));
    }
    let job = Export {
        profile_ids,
        profiles: how.profiles,
        posts: how.posts,
        format: how.format,
        byte_order_mark: how.byte_order_mark,
    };
    let payload = serde_json::to_string(&job).map_err(|_| Problem::internal())?;
    let key = idempotency::key(request.headers(), caller.id(), &["POST", "export", &payload])?;
    let mut options = options(caller, request);
    let charged = state.is_on("export_charges_credits").await?;
    if charged && options.cost == Cost::Policy {
        options.cost = Cost::Of(Action::BulkExport);
    }
    submit::post(state, caller, Work::new(&job, &options)?, key, wait).await
}
