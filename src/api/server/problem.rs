//! Which HTTP status a problem's code stands for.

use axum::http::StatusCode;

use crate::api::wire::Problem;

pub(super) fn status(problem: &Problem) -> StatusCode {
    match problem.code.as_str() {
        "not_found" | "no_such_endpoint" | "image_not_found" | "not_up" => StatusCode::NOT_FOUND,
        "invalid_request"
        | "not_accepted"
        | "invalid_name"
        | "bad_filter"
        | "ambiguous"
        | Problem::COMMAND_NOT_FOUND
        | Problem::CANNOT_RUN => StatusCode::BAD_REQUEST,
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        Problem::NOT_IN_TIME => StatusCode::GATEWAY_TIMEOUT,
        Problem::CANNOT_BE
        | "cannot_remove"
        | "cannot_replay"
        | "conflict"
        | "other_folder"
        | "world_moved"
        | "port_taken" => StatusCode::CONFLICT,
        "code_wrong" => StatusCode::UNAUTHORIZED,
        "login_needed" => StatusCode::FORBIDDEN,
        "too_many_containers" => StatusCode::TOO_MANY_REQUESTS,
        "state_full" => StatusCode::INSUFFICIENT_STORAGE,
        "pull_failed" => StatusCode::BAD_GATEWAY,
        "starting" | "engine_unreachable" | "engine_deadline" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::engine::EngineError;

    #[test]
    fn an_engine_that_does_not_answer_in_time_is_unavailable() {
        let late = EngineError::Deadline {
            call: "list",
            seconds: 10,
        };
        assert_eq!(
            status(&Problem::from(&late)),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
