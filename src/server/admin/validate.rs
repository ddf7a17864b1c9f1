//! POST `/api/v1/cli/validate`: whose key it is. A key that is not accepted never gets here.

use axum::Extension;
use axum::Json;
use axum::extract::State;

use super::Shared;
use crate::api::workspaces::KeySummary;
use crate::server::host_check::BaseUrl;

pub(super) async fn validate(
    State(project): Shared,
    Extension(base): Extension<BaseUrl>,
) -> Json<KeySummary> {
    Json(KeySummary {
        key_type: "project".to_owned(),
        project_id: project.row.id.clone(),
        project_name: project.row.name.clone(),
        slug: project.row.name.clone(),
        url: base.0.to_string(),
    })
}
