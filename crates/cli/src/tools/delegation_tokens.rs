//! `delegation-tokens`: creates, renews, expires and describes delegation tokens.
//!
//! Kafka's `DelegationTokenCommand`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_admin::{
    ClusterError, PrincipalParts, TokenAndHmac, create_token, describe_tokens, expire_token,
    renew_token,
};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::numbers::date;
use crate::options::{UsageError, all_of, conflicts, one_of};
use crate::text::join_with;
use crate::tool_run::{OUTPUT, Output, Tool, ToolRun, Work};

const OPTIONS: &str = "
    --create: Create a new delegation token. Use --renewer-principal option to pass renewer
        principals.
    --renew: Renew delegation token. Use --renew-time-period option to set renew time period.
    --expire: Expire delegation token. Use --expiry-time-period option to expire the token.
    --describe: Describe delegation tokens for the given principals. Use --owner-principal to pass
        owner/renewer principals. If --owner-principal option is not supplied, all the user-owned
        tokens and tokens where the user has Describe permissions will be returned.
    --owner-principal <principal>: owner is a Kafka principal. They should be in principalType:name
        format.
    --renewer-principal <principal>: renewer is a Kafka principal. They should be in
        principalType:name format.
    --max-life-time-period <ms>: Max life period for the token in milliseconds. If the value is -1,
        then token max life time will default to the server side config value of
        (delegation.token.max.lifetime.ms).
    --renew-time-period <ms>: Renew time period in milliseconds. If the value is -1, then the renew
        time period will default to the server side config value of
        (delegation.token.expiry.time.ms).
    --expiry-time-period <ms>: Expiry time period in milliseconds. If the value is -1, then the
        token will get invalidated immediately.
    --hmac <hmac>: HMAC of the delegation token
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-delegation-tokens",
    "This tool helps to create, renew, expire, or describe delegation tokens.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("create renew expire describe").message(
        "Command must include exactly one action: --create, --renew, --expire or --describe",
    ),
    all_of("bootstrap-server"),
    all_of("command-config"),
    all_of("max-life-time-period").when("create"),
    all_of("hmac renew-time-period").when("renew"),
    all_of("hmac expiry-time-period").when("expire"),
    conflicts("create", "hmac renew-time-period expiry-time-period"),
    conflicts(
        "renew",
        "renewer-principal max-life-time-period expiry-time-period owner-principal",
    ),
    conflicts(
        "expire",
        "renewer-principal max-life-time-period renew-time-period owner-principal",
    ),
    conflicts(
        "describe",
        "renewer-principal max-life-time-period renew-time-period expiry-time-period hmac",
    ),
]);

/// Kafka's format of times.
const DATE: &str = "yyyy-MM-dd'T'HH:mm";

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    if run.parsed.has("create") {
        create(run).await
    } else if run.parsed.has("renew") {
        renew(run).await
    } else if run.parsed.has("expire") {
        expire(run).await
    } else {
        describe(run).await
    }
}

/// Reports a refusal with the class of its exception, as Kafka's tool does.
fn failed(error: ClusterError) -> anyhow::Error {
    anyhow::Error::msg(error.java())
}

/// Prints a line before the result, unless the result is JSON.
fn announce(run: &ToolRun<'_>, line: impl AsRef<str>) -> anyhow::Result<()> {
    if run.output()? == Output::Text {
        run.print(line)?;
    }
    Ok(())
}

fn principals(run: &ToolRun<'_>, option: &str) -> Result<Vec<PrincipalParts>, UsageError> {
    let parse = |text: &str| {
        let text = text.trim();
        let parts = text.split_once(':').filter(|(kind, _)| !kind.is_empty());
        let (kind, name) = parts.ok_or_else(|| {
            let message = "expected a string in format principalType:principalName but got";
            UsageError(format!("{message} {text}"))
        })?;
        Ok((kind.to_owned(), name.to_owned()))
    };
    run.parsed.values(option).map(parse).collect()
}

fn period(run: &ToolRun<'_>, option: &str) -> Result<i64, UsageError> {
    run.parsed.required(option)?;
    Ok(run.parsed.parsed(option)?.unwrap_or(-1))
}

fn hmac(run: &ToolRun<'_>) -> Result<Vec<u8>, UsageError> {
    let decoded = STANDARD.decode(run.parsed.required("hmac")?);
    decoded.map_err(|_| UsageError("--hmac is not in base64".to_owned()))
}

async fn create(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let renewers = principals(run, "renewer-principal")?;
    let owners = principals(run, "owner-principal")?;
    let lifetime = period(run, "max-life-time-period")?;
    let shown = renewers.iter().map(|(kind, name)| format!("{kind}:{name}"));
    announce(
        run,
        format!(
            "Calling create token operation with renewers :[{}] , max-life-time-period \
             :{lifetime}\n",
            join_with(", ", shown)
        ),
    )?;
    let cluster = run.connect().await?;
    let created = create_token(&cluster, owners.first(), &renewers, lifetime).await;
    let created = created.map_err(failed)?;
    let id = &created.token.id;
    announce(
        run,
        format!("Created delegation token with tokenId : {id}\n"),
    )?;
    run.show(&rows(&[created]), |rows| render(rows))
}

async fn renew(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let (hmac, period) = (hmac(run)?, period(run, "renew-time-period")?);
    let shown = run.parsed.required("hmac")?;
    announce(
        run,
        format!("Calling renew token operation with hmac :{shown} , renew-time-period :{period}\n"),
    )?;
    let cluster = run.connect().await?;
    let expires = renew_token(&cluster, hmac, period).await.map_err(failed)?;
    completed(run, "renew", expires.0)
}

async fn expire(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let (hmac, period) = (hmac(run)?, period(run, "expiry-time-period")?);
    let shown = run.parsed.required("hmac")?;
    announce(
        run,
        format!(
            "Calling expire token operation with hmac :{shown} , expire-time-period :{period}\n"
        ),
    )?;
    let cluster = run.connect().await?;
    let expires = expire_token(&cluster, hmac, period).await.map_err(failed)?;
    completed(run, "expire", expires.0)
}

fn completed(run: &ToolRun<'_>, operation: &str, expires_ms: i64) -> anyhow::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Completed {
        expiry_date: String,
    }
    let expiry_date = date(expires_ms, DATE);
    run.show(&Completed { expiry_date }, |completed| {
        let date = &completed.expiry_date;
        format!("Completed {operation} operation. New expiry date : {date}\n")
    })
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let owners = principals(run, "owner-principal")?;
    let shown = owners.iter().map(|(kind, name)| format!("{kind}:{name}"));
    let line = match owners.is_empty() {
        true => "Calling describe token operation for current user.\n".to_owned(),
        false => format!(
            "Calling describe token operation for owners: [{}]\n",
            join_with(", ", shown)
        ),
    };
    announce(run, line)?;
    let cluster = run.connect().await?;
    let tokens = describe_tokens(&cluster, &owners).await.map_err(failed)?;
    announce(run, format!("Total number of tokens : {}", tokens.len()))?;
    run.show(&rows(&tokens), |rows| render(rows))
}

/// A token, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    token_id: String,
    hmac: String,
    owner: String,
    requester: String,
    renewers: Vec<String>,
    issue_date: String,
    expiry_date: String,
    max_date: String,
}

fn rows(tokens: &[TokenAndHmac]) -> Vec<Row> {
    let row = |TokenAndHmac { token, hmac }: &TokenAndHmac| Row {
        token_id: token.id.to_string(),
        hmac: STANDARD.encode(hmac),
        owner: token.owner.to_string(),
        requester: token.requester.to_string(),
        renewers: token.renewers.iter().map(ToString::to_string).collect(),
        issue_date: date(token.issued.0, DATE),
        expiry_date: date(token.expires.0, DATE),
        max_date: date(token.expires_last.0, DATE),
    };
    tokens.iter().map(row).collect()
}

/// Formats tokens as Kafka's tool does, with times in UTC.
fn render(rows: &[Row]) -> String {
    let line = |cells: [&str; 8]| {
        let [id, hmac, owner, requester, renewers, issued, expires, last] = cells;
        format!(
            "\n{id:<15} {hmac:<30} {owner:<15} {requester:<15} {renewers:<25} {issued:<15} \
             {expires:<15} {last:<15}\n"
        )
    };
    let mut text = line([
        "TOKENID",
        "HMAC",
        "OWNER",
        "REQUESTER",
        "RENEWERS",
        "ISSUEDATE",
        "EXPIRYDATE",
        "MAXDATE",
    ]);
    for row in rows {
        text += &line([
            &row.token_id,
            &row.hmac,
            &row.owner,
            &row.requester,
            &format!("[{}]", row.renewers.join(", ")),
            &row.issue_date,
            &row.expiry_date,
            &row.max_date,
        ]);
    }
    text
}

#[cfg(test)]
mod tests {
    use dohle_model::Timestamp;
    use dohle_model::delegation_token::DelegationToken;

    use super::*;

    #[test]
    fn tokens_are_printed_as_kafka_does() {
        let token = DelegationToken {
            id: "tpDFbp7WQqqFpLtOmUkrJA".into(),
            owner: "User:alice".into(),
            requester: "User:bob".into(),
            renewers: ["User:carol".into(), "User:dave".into()].into(),
            issued: Timestamp(1_795_239_941_253),
            expires: Timestamp(1_795_239_941_253 + 60_000),
            expires_last: Timestamp(1_795_239_941_253 + 3_600_000),
        };
        let hmac = b"secret".to_vec();
        let rows = rows(&[TokenAndHmac { token, hmac }]);
        expect_test::expect![[r#"

            TOKENID         HMAC                           OWNER           REQUESTER       RENEWERS                  ISSUEDATE       EXPIRYDATE      MAXDATE        

            tpDFbp7WQqqFpLtOmUkrJA c2VjcmV0                       User:alice      User:bob        [User:carol, User:dave]   2026-11-21T05:45 2026-11-21T05:46 2026-11-21T06:45
        "#]]
        .assert_eq(&render(&rows));
    }

    #[test]
    fn options_go_together_as_in_kafka() {
        let refused = |line: &str| {
            let line = format!("--bootstrap-server b --command-config c {line}");
            TOOL.read(&line).expect_err(&line).to_string()
        };
        let action = "Command must include exactly one action: --create, --renew, --expire or \
                      --describe";
        assert_eq!(refused(""), action);
        assert_eq!(refused("--create --describe"), action);
        for line in [
            "--create",
            "--renew --hmac a",
            "--expire --expiry-time-period 1",
            "--create --max-life-time-period 1 --hmac a",
            "--describe --hmac a",
        ] {
            refused(line);
        }
        let line = "--bootstrap-server b --command-config c --create --max-life-time-period -1 \
                    --renewer-principal User:bob --renewer-principal User:carol";
        let parsed = TOOL.read(line).unwrap();
        assert_eq!(parsed.values("renewer-principal").count(), 2);
        let without = "--create --max-life-time-period 1 --bootstrap-server b";
        assert!(TOOL.read(without).is_err(), "it needs --command-config");
    }
}
