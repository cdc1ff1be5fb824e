"""The meaning of each Auth0 log type and each Management API path for a user, and the place that names the user.

The types are those of Auth0's published schemas (github.com/auth0/auth0-log-schemas). docs/events.md has the tables,
and the EventBridge patterns pick the same types and paths; tests hold them together.
"""

LOGINS = {
    "s": "login: last_login and logins_count, and what post-login Actions set",
    "scoa": "login by cross-origin authentication",
    "sens": "login with a token of a social provider's SDK",
    "sdel": "login as another user, delegated",
    "sede": "login on a device: code exchanged",
    "sepft": "login by password grant",
    "seotpft": "login by password grant and one-time password",
    "seoobft": "login by password grant and out-of-band challenge",
    "sercft": "login by password grant and recovery code",
    "sepkotpft": "login by passkey and one-time password",
    "sepkoobft": "login by passkey and out-of-band challenge",
    "sepkrcft": "login by passkey and recovery code",
    "ciba_exchange_succeeded": "login on another device (CIBA)",
}
"""Log types of logins, each of which changes what ``s`` does. Renewals are no logins: see docs/events.md."""

SIGNALS = LOGINS | {
    "ss": "signup: carries the request of the client, not the user that was stored",
    "sce": "e-mail changed by the user",
    "scu": "username changed by the user",
    "scpn": "phone number changed by the user",
    "scp": "password changed: last_password_reset",
    "sv": "e-mail verified",
    "sdu": "deleted: the id stands in the description only, without its provider",
    "secte": "token exchanged for a user that an Action of the tenant may have created or updated",
    "sscim": "changed through SCIM: carries the SCIM request, not the user",
    "gd_enrollment_complete": "multi-factor enrolled",
    "gd_unenroll": "multi-factor removed",
    "my_account_authentication_method_succeeded": "multi-factor enrolled, changed or removed by the user",
    "ublkdu": "unblocked by the user",
}
"""Log types about a changed user that do not carry the user, with the reason of each."""

NAMELESS = {
    "sui": "users imported: names the connection only",
    "fui": "users imported in part: names the connection only",
    "directory_sync_completed": "directory synchronised: names the sync only",
}
"""Log types that change users without naming them; only a reconciliation finds these users."""

_NAMES = """
acls_summary actions_execution_failed acul_sdk_notice api_limit api_limit_warning appi ciba_exchange_failed
ciba_start_failed ciba_start_succeeded cls connected_accounts_connection_failed
connected_accounts_connection_succeeded connected_accounts_delete_failed connected_accounts_delete_succeeded cs
custom_domain_verification_failed depnote directory_sync_failed directory_sync_started f
failed_on_behalf_of_token_exchange fce fco fcoa fcp fcph fcpn fcpr fcpro fcu fd fdeac fdeaz fdecc fdeleacft fdelsa
fdu feacft feccft fecte fede federated_logout_failed fens feoobft feotpft fepft fepotpft fercft ferrt fertft feta fi
flo flows_execution_completed flows_execution_failed fn forms_submission_failed forms_submission_succeeded fp fpar
fpurh fs fsa fscim fu fv fvr gd_auth_email_verification gd_auth_failed gd_auth_rejected gd_auth_succeed
gd_otp_rate_limit_exceed gd_recovery_failed gd_recovery_succeed gd_send_email gd_send_email_verification gd_send_pn
gd_send_pn_failure gd_send_sms gd_send_sms_failure gd_send_voice gd_send_voice_failure gd_start_auth gd_start_enroll
gd_start_enroll_failed gd_tenant_update gd_update_device_account gd_webauthn_challenge_failed
gd_webauthn_enrollment_failed idjag_exchange_failed idjag_exchange_succeeded jwt_bearer_exchange_failed
kms_key_management_failure kms_key_management_success kms_key_state_changed limit_delegation limit_mu limit_phone
limit_sul limit_wc mfar mgmt_api_read my_account_authentication_method_failed oidc_backchannel_logout_failed
oidc_backchannel_logout_succeeded organization_member_added passkey_challenge_failed passkey_challenge_started pla
pwd_leak reset_pwd_leak resource_cleanup rich_consents_access_error scpr scv sd sdeleacft sdelsa seacft seccft
sertft seta si slo srrt ss_sso_failure ss_sso_info ss_sso_success ssa success_on_behalf_of_token_exchange svr
universal_logout_failed universal_logout_succeeded w wn wum
"""
WITHOUT_EFFECT = frozenset(_NAMES.split())
"""Log types after which the profile is as before, failures among them."""

PLACES = {
    "": ("user_id",),
    "sapi": ("details.response.body.user_id", "details.request.path"),
    "mgmt_api_read": ("details.response.body.user_id", "details.request.path"),
    "sscim": ("details.request.path", "user_id"),
    "fscim": ("details.request.path",),
    "sdu": ("user_id", "description"),
    "wum": ("user_id", "details.user_id"),
    **dict.fromkeys(("scp", "sv", "fv", "fcp"), ("user_id", "details.query.user_id", "details.body.user_id")),
    **dict.fromkeys(
        ("ss", "sce", "scu", "scpn", "svr", "fce", "fcu", "fcpn", "fvr"),
        ("user_id", "details.body.user_id", "details.query.user_id"),
    ),
    **dict.fromkeys(
        ("gd_enrollment_complete", "gd_unenroll", "gd_update_device_account"),
        ("user_id", "details.enrollment.user_id"),
    ),
    **dict.fromkeys(
        (
            *("acls_summary", "acul_sdk_notice", "custom_domain_verification_failed", "directory_sync_started"),
            *("directory_sync_completed", "directory_sync_failed", "failed_on_behalf_of_token_exchange", "fdeaz", "fn"),
            *("kms_key_management_failure", "kms_key_management_success", "kms_key_state_changed"),
            *("rich_consents_access_error", "ss_sso_failure", "ss_sso_info", "ss_sso_success", "sui"),
        ),
        (),
    ),
}
"""Places in which a log of a type names its user, in order of preference; ``""`` is for all other types."""

WRITES = ("post", "put", "patch", "delete")

USER_PATHS: dict[str, tuple[str, ...]] = {
    "": ("patch", "put", "delete"),
    "authentication-methods": WRITES,
    "authenticators": WRITES,
    "multifactor": ("delete",),
    "connected-accounts": (),
    "effective-permissions": (),
    "effective-roles": (),
    "enrollments": (),
    "federated-connections-tokensets": (),
    "groups": (),
    "identities": ("post", "delete"),
    "logs": (),
    "organizations": (),
    "permissions": (),
    "recovery-code-regeneration": (),
    "refresh-tokens": (),
    "revoke-access": (),
    "risk-assessments": (),
    "roles": (),
    "sessions": (),
}
"""Paths below ``/api/v2/users/{id}``, and the methods with which they change the profile."""
