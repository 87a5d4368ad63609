//! The two calls on single tags; `openstack image unset --tag` uses them.

use actix_web::{HttpRequest, HttpResponse, web};
use core_domain::{catalog, catalog::Edit};

use crate::{
    app::App,
    auth::Auth,
    error::ApiError,
    path::{self, ImagePath},
};

/// `PUT /v2/images/{image_id}/tags/{tag}`
pub(crate) async fn add(
    app: web::Data<App>,
    auth: Auth,
    path: ImagePath,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    edit(app, auth, path, Edit::AddTag(path::segment(&request, 5)?)).await
}

/// `DELETE /v2/images/{image_id}/tags/{tag}`
pub(crate) async fn remove(
    app: web::Data<App>,
    auth: Auth,
    path: ImagePath,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    edit(app, auth, path, Edit::RemoveTag(path::segment(&request, 5)?)).await
}

async fn edit(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
    edit: Edit,
) -> Result<HttpResponse, ApiError> {
    let image = path.image()?;
    app.change(asker, move |cx, store| catalog::change(cx, store, image, &[edit])).await?;
    Ok(HttpResponse::NoContent().finish())
}
