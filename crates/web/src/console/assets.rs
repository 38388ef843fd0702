//! The files of the page, which are part of the program.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal)*) => {
        /// The files: path, type, content.
        pub(super) const ASSETS: &[(&str, &str, &[u8])] = &[
            $(($path, $kind, include_bytes!(concat!("../../assets/", $file))),)*
        ];
    };
}

assets! {
    "/" HTML "index.html"
    "/console/style.css" STYLE "style.css"
    "/console/icon.svg" SVG "icon.svg"
    "/console/app.js" SCRIPT "app.js"
    "/console/api.js" SCRIPT "api.js"
    "/console/chart.js" SCRIPT "chart.js"
    "/console/format.js" SCRIPT "format.js"
    "/console/parts.js" SCRIPT "parts.js"
    "/console/overview.js" SCRIPT "overview.js"
    "/console/topics.js" SCRIPT "topics.js"
    "/console/groups.js" SCRIPT "groups.js"
    "/console/brokers.js" SCRIPT "brokers.js"
    "/console/vendor/preact.js" SCRIPT "vendor/preact.js"
    "/console/vendor/hooks.js" SCRIPT "vendor/hooks.js"
    "/console/vendor/htm.js" SCRIPT "vendor/htm.js"
}

/// Adds the routes of the files.
pub(super) fn serve<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    ASSETS.iter().fold(router, |router, (path, kind, content)| {
        let answer = move || async move { ([(CONTENT_TYPE, *kind)], *content).into_response() };
        router.route(path, get(answer))
    })
}
