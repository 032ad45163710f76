"""Every error that the product raises on purpose, and every stable code.

    ApplianceError
    ├── UsageError             the command line or the configuration is wrong   (exit 2)
    ├── Refused                a check said no; nothing was changed             (exit 1)
    │   ├── SignatureRefused   the signature of an artifact
    │   ├── GgufRejected       the bytes of a GGUF file
    │   ├── PolicyRefused      the trust policy, a role or an approval
    │   ├── StateRefused       a state or a resource that does not allow the action
    │   ├── TaskRefused        a task, or what was written for it
    │   ├── EvaluationRefused  outcomes that prove nothing
    │   ├── TuningRefused      a tuning that cannot be made, or does not serve as it was trained
    │   ├── DatasetRefused     items, a file of them, or a split
    │   ├── CollectionRefused  a collection, or a document for one
    │   └── AuditRefused       a log, proof or key that does not verify
    ├── RequestRefused         an API request that the client must change       (HTTP 4xx)
    │   ├── BadRequest
    │   ├── Unauthenticated
    │   ├── Forbidden
    │   ├── NotFound
    │   ├── TooLarge
    │   ├── Deferred           no stage of a route may answer
    │   │   └── Queued         a person will: no answer yet
    │   └── Overloaded
    ├── Unavailable            the appliance cannot serve now                   (HTTP 503)
    │   ├── AuditUnavailable   the log cannot be written: no record, no answer
    │   └── WorkerLost         the engine process of a model ended
    │       └── UpstreamLost   an engine on another host gave no whole answer
    └── ServerUnreachable      a command needs the server and none answers      (exit 3)

Rules: every error carries a code from `CODES`; the message says what happened with the
values that matter, the hint (kept here, one per code) says what to do next. HTTP statuses
are mapped in `api/errors.py` only, exit statuses in `cli/main.py` only. `docs/errors.md`
is generated from this file, which is long because it is one table: a code has one home.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self


class Code(NamedTuple):
    """Meaning of a stable code, and the next step of the person who sees it."""

    meaning: str
    hint: str


_FLAWS: Final = {
    "malformed": Code(
        "{noun} is malformed", "{then} This one was damaged, or another program wrote it."
    ),
    "signature": Code(
        "the signature of {noun} is invalid",
        "{then} This one was changed, or signed with another key.",
    ),
    "inconsistent": Code("{noun} contradicts itself", "{then} Do not use this one."),
}


def _signed(
    stem: str, noun: str, then: str, *, kinds: Sequence[str] = tuple(_FLAWS)
) -> dict[str, Code]:
    """The codes for the flaws of a signed statement: one text for all kinds of statement."""
    flaws = {kind: _FLAWS[kind] for kind in kinds}
    return {
        f"{stem}_{kind}": Code(flaw.meaning.format(noun=noun), flaw.hint.format(then=then))
        for kind, flaw in flaws.items()
    }


CODES: Final[dict[str, Code]] = {
    # configuration and command line
    "config_invalid": Code(
        "appliance.toml cannot be used", "Correct the named key; docs/config.md lists all keys."
    ),
    "data_missing": Code(
        "the data directory was not initialised", "Run `appliance init` for this directory."
    ),
    "data_exists": Code(
        "the target already exists", "Choose another directory or file; nothing is overwritten."
    ),
    "profile_unsupported": Code(
        "this profile does not have that",
        "Use a data directory of the other profile: docs/adr/0011-lab-profile.md.",
    ),
    "data_locked": Code(
        "another process holds the data directory",
        "Stop the other process, or run the command while the server answers.",
    ),
    "database_unusable": Code(
        "a database cannot be used safely",
        "Use the bundled SQLite, and restore a database that is damaged from a backup.",
    ),
    "database_newer": Code(
        "a newer release wrote this database, and this one cannot read it",
        "Start the named release. To go back, restore the database from before the upgrade: "
        "`appliance-installer rollback --with-snapshot`, or a backup of that time.",
    ),
    "erasure_unfinished": Code(
        "erased text is still in a database's write-ahead log",
        "Run the command again, or restart the server: either one finishes the erasure.",
    ),
    "state_differs": Code(
        "appliance.db permits something that the audit log does not",
        "See `appliance state show`; restore appliance.db, or decide with `appliance state "
        "settle`.",
    ),
    "state_agrees": Code(
        "the database and the audit log agree, so there is nothing to decide",
        "`appliance state show` lists the last comparison.",
    ),
    "bind_refused": Code(
        "a non-loopback address needs TLS and at least one key",
        "Listen on 127.0.0.1; or run `appliance tls issue`, enable [tls] and create a key.",
    ),
    "certificate_unusable": Code(
        "a certificate or its key cannot be used for TLS",
        "Check the files that [tls] names; `appliance tls issue` makes new ones.",
    ),
    # commands and the admin socket
    "file_unusable": Code(
        "a file cannot be read or written", "Check the path, its permissions and the free space."
    ),
    "key_unreadable": Code(
        "a file does not hold the key that is needed",
        "Pass a key as PEM: ECDSA on P-256, P-384 or P-521; for the audit log Ed25519.",
    ),
    "host_key_locked": Code(
        "the appliance's own keys are under a passphrase, which this process does not have",
        "Run it on a terminal, or with --passphrase-file; a service gets it as the systemd "
        "credential `appliance.passphrase`: docs/admin-guide.md.",
    ),
    "host_key_missing": Code(
        "the appliance's own keys are under no passphrase",
        "Run `appliance protect on` to encrypt them.",
    ),
    "key_in_plain": Code(
        "a secret lies in plain, though the appliance's keys are under a passphrase",
        "Stop the server and run `appliance protect on` once more.",
    ),
    "kek_renewing": Code(
        "the key-encryption key is being replaced", "`appliance protect renew kek` ends it."
    ),
    "host_key_renewing": Code(
        "the host key is being renewed", "`appliance protect renew host` ends it."
    ),
    "host_key_damaged": Code(
        "the host key or a file under it cannot be used",
        "Restore keys/, audit/ and tls/ from one backup.",
    ),
    "backup_recipients": Code(
        "there is no key, or there are too many, to encrypt a backup to",
        "Name public keys with `--to`; a site's officers are in its trust root.",
    ),
    "backup_other_key": Code(
        "a backup is not encrypted to this key",
        "Pass the key of an officer of the time when it was made.",
    ),
    "backup_damaged": Code(
        "an encrypted backup is not whole, or was changed", "Use another backup."
    ),
    "key_unencrypted": Code(
        "a private key is in a file without a passphrase",
        "`appliance signer encrypt FILE` encrypts it in place.",
    ),
    "token_uri_invalid": Code(
        "a `pkcs11:` URI does not name one key as RFC 7512 has it",
        "Write 'pkcs11:token=NAME;object=KEY?module-path=/path/of/module.so', in quotes.",
    ),
    "token_missing": Code(
        "no token matches the URI", "Insert the token; `p11tool --list-tokens` shows their names."
    ),
    "token_ambiguous": Code(
        "more than one token matches the URI", "Name its serial number: `serial=…`."
    ),
    "token_key_missing": Code(
        "the token has no such key, or no public half of it",
        "Check object= and id=, or make one: `appliance signer new 'pkcs11:…'`.",
    ),
    "token_key_ambiguous": Code(
        "more than one key on the token matches the URI",
        "Name the key's id, too: `id=%01`; a new key takes a name that is free.",
    ),
    "token_pin_wrong": Code(
        "the token refused the PIN",
        "Check the PIN before you try again: a token locks after a few tries.",
    ),
    "token_pin_locked": Code(
        "the token's PIN is locked",
        "Ask its administrator to unlock it, with the SO PIN or the PUK.",
    ),
    "token_full": Code(
        "the token has no room for another key", "Delete a key that is not used, or take another."
    ),
    "token_removed": Code(
        "the token went away while it was used",
        "Insert it and run the command again; nothing was signed.",
    ),
    "token_refused": Code(
        "the token refused an operation",
        "Look up the CKR_ value in the vendor's manual, then run the command again.",
    ),
    "token_module_failed": Code(
        "the vendor's PKCS#11 module cannot be loaded, crashed, or does not answer as it must",
        "Check module-path= and the vendor's service; nothing was signed.",
    ),
    "file_too_open": Code(
        "others than its owner can read a private file", "Run chmod 0600 on the file."
    ),
    "docs_missing": Code(
        "the pages of the guides are not part of this installation",
        "Read the text in docs/ of the bundle or the source; in a checkout `make docs` makes them.",
    ),
    "docs_port_taken": Code(
        "another program uses the port of the guides",
        "Name a free port: `appliance docs --port N`.",
    ),
    "unknown_page": Code("the guides have no such page", "`appliance docs contents` names them."),
    "checkout_required": Code(
        "a bundle can only be built in a checkout", "Run it in a checkout of the source."
    ),
    "host_unsuitable": Code(
        "the host lacks something that the product needs",
        "Run `appliance doctor`; docs/admin-guide.md lists the requirements.",
    ),
    "role_name_unknown": Code(
        "a user or group in [admin.roles] is not known on this host",
        "Correct the name, or create the user or group.",
    ),
    "incompatible_server": Code(
        "the server and this command do not understand each other",
        "Use the command of the version that the server runs.",
    ),
    "demo_model_missing": Code(
        "this installation came without a model to try",
        "Pass a GGUF file: `appliance model demo --from FILE`.",
    ),
    "server_not_started": Code(
        "the server ended before it answered",
        "Read its last lines in the named file, correct the cause, and start it again.",
    ),
    "interrupted": Code(
        "the client disconnected before the work was done", "Start it again; nothing was changed."
    ),
    # statistics
    "coefficients_invalid": Code(
        "fitted coefficients or the state of a monitor cannot be used",
        "Fit them again with this version: the file was changed, or another program wrote it.",
    ),
    # jobs
    "unknown_job_id": Code("no such job", "`appliance job list` names them."),
    "job_wrong_state": Code(
        "the job's state does not allow this", "`appliance job show ID` says what it allows."
    ),
    "job_kind_unknown": Code(
        "this version does not know this kind of job", "Use the version that started the job."
    ),
    "job_too_large": Code(
        "a job's parameters, checkpoint or result are too large",
        "Split the work into smaller jobs.",
    ),
    "too_many_jobs": Code(
        "too many heavy jobs wait for their turn",
        "Wait until one ends, or cancel one: `appliance job list`.",
    ),
    "jobs_unwritable": Code(
        "the job cannot be kept in appliance.db", "Free space in the data directory and try again."
    ),
    "job_paused": Code("the job was paused", "Continue it with `appliance job resume ID`."),
    "job_cancelled": Code("the job was cancelled", "Start it again if you still need it."),
    "job_interrupted": Code(
        "the server ended while the job ran",
        "`appliance job show ID` says whether it can be resumed; if not, start it again.",
    ),
    "job_failed": Code(
        "a job ended with an unexpected error",
        "Read the details with `appliance logs`, and report them.",
    ),
    # tasks
    "task_invalid": Code(
        "task.toml breaks its format", "Correct the named place; docs/tasks.md has the format."
    ),
    "task_labels_ambiguous": Code(
        "one label is the beginning of another",
        "Rename one of them, or give each a code of its own in output.codes.",
    ),
    "task_schema_invalid": Code(
        "the task's schema cannot be used for its form of answers",
        'Correct the named property, or choose encoding = "json".',
    ),
    "task_metric_unfit": Code(
        "the metric does not measure answers of the task's form",
        "Set gate.metric to one that fits the form: docs/tasks.md.",
    ),
    "task_template_invalid": Code(
        "the task's template does not compile or uses a field that the task does not have",
        "Correct prompt.user, or add the field to input.",
    ),
    "task_input_invalid": Code(
        "the request does not have the fields that the task takes",
        "Send a JSON object with the named fields as the user's message.",
    ),
    "task_model_changed": Code(
        "the task was made for another model than the one loaded under its id",
        "Import the model that the task names, or sign a new version of the task.",
    ),
    "task_model_missing": Code(
        "the task's model is not approved here, or cannot be loaded",
        "Approve the model that the task names (`appliance artifact approve`), or import it first.",
    ),
    "task_examples_invalid": Code(
        "the task's examples cannot be used",
        "Correct the named line: an item with id, input and expected.",
    ),
    "task_parameter": Code(
        "the request sets something that the task fixes",
        "Leave the field out; the task defines its prompt, form and sampling.",
    ),
    "task_answer_unfit": Code(
        "an expected answer cannot be written in the task's form",
        'Correct the item, or choose encoding = "json".',
    ),
    "task_answer_invalid": Code(
        "the model's answer breaks the task's form",
        "Raise max_tokens: a truncated answer is the most common cause.",
    ),
    # routes
    "route_invalid": Code(
        "route.toml breaks its format", "Correct the named place; docs/routes.md has the format."
    ),
    "task_deferred": Code(
        "no stage of the route may answer this input",
        "Have a person answer it; `appliance route show ROUTE` says why the route defers.",
    ),
    "task_queued": Code(
        "no stage of the route may answer this input, and it waits for a person",
        "Read GET /v1/queue/{id} until its state is answered or expired; the id is `item` "
        "of the error. The same request within a day returns the same item.",
    ),
    "route_not_certified": Code(
        "the route has no certificate that lets its first stage answer",
        "Run `appliance route calibrate`; without a certificate every request is escalated.",
    ),
    "route_suspended": Code(
        "the certificate of the route is suspended",
        "Find out why its answers got worse, then calibrate on new groups.",
    ),
    "route_certificate_other": Code(
        "the certificate is for another route, other terms, another engine, host or time",
        "Run `appliance route carry` after an engine's upgrade, else `appliance route calibrate`.",
    ),
    "route_no_replay": Code(
        "the route's recorded answers for a new engine to reproduce are missing",
        "Calibrate with the engine that serves: `appliance route calibrate`.",
    ),
    "route_change_unbounded": Code(
        "too few open groups of the route were compared to bound the new engine's change",
        "Calibrate with the new engine: `appliance route calibrate`. More groups in `dev` and in "
        "the sealed split let the next upgrade carry over.",
    ),
    "route_certificate_expired": Code(
        "the certificate of the route has expired", "Calibrate again on new groups."
    ),
    **_signed("route_certificate", "the certificate of a route", "Calibrate again."),
    "route_stage_away": Code(
        "a stage's task or model is not on this host",
        "Approve the task that the stage names by its digest, or sign a new version of the route.",
    ),
    "route_stage_unfit": Code(
        "a stage does not fit the route",
        "Give all stages the same fields and form, labels or fields;"
        " for `p_true` the first needs a model; `group_from` is a field, `key` or `person`.",
    ),
    # datasets
    "dataset_unreadable": Code(
        "a file of a dataset cannot be read", "Check the path; a dataset is a directory."
    ),
    "dataset_encoding": Code(
        "a file is not UTF-8 text", "Save it as UTF-8, in Excel: CSV UTF-8 (comma delimited)."
    ),
    "dataset_malformed": Code(
        "a file is not the JSON lines, CSV or manifest that is expected",
        "Correct the line that the message names; docs/datasets.md has the format.",
    ),
    "dataset_too_large": Code(
        "a dataset has more items or bytes than the limits allow",
        "Split it, or leave out items: docs/datasets.md lists the limits.",
    ),
    "examples_not_agreed": Code(
        "prompts of this key may not become dataset items",
        "Ask the owners of the data, then make a key with `appliance key new --examples`.",
    ),
    "dataset_check_invalid": Code(
        "the parameters of a check cannot be used",
        "Name a dataset by id or directory, a model, and a similarity between 0.5 and 1.",
    ),
    "dataset_exists": Code("the directory is not empty", "Choose a new directory."),
    "csv_formula": Code(
        "a cell holds a formula in place of a value",
        "Export values, not formulas; --formulas-are-text takes such cells as text.",
    ),
    "csv_columns": Code(
        "a CSV file has too many columns, or rows whose length differs from its head",
        "Export the columns that are needed; quote cells that hold the delimiter.",
    ),
    "item_invalid": Code(
        "an item lacks a field or has one of the wrong kind",
        "Correct the item and field that the message names; docs/datasets.md has the format.",
    ),
    "item_too_large": Code(
        "an item's input or expected answer is too large", "Shorten it, or split the document."
    ),
    "item_duplicate": Code("two items have the same id", "Give every item its own id."),
    "item_taught": Code(
        "a model-generated item is in a split used for scoring",
        "Leave such items in train; dev, certify and test need answers of people.",
    ),
    "item_unknown": Code(
        "the dataset has no such item", "`appliance dataset show DIR --items` lists the ids."
    ),
    "group_missing": Code(
        "an item has no group",
        "Name the column that tells what belongs together (a document, a customer, an asset and "
        "day): --group COLUMN.",
    ),
    "group_in_two_splits": Code(
        "one group is in two splits",
        "Split by group, or move the boundary: results on such a split would be too good.",
    ),
    "split_ignores_groups": Code(
        "a random split of grouped items would put one group on both sides",
        "Use --by group, --by time or --by given.",
    ),
    "split_invalid": Code(
        "the items cannot be split in this way",
        "Give shares that add up to 1, rising boundaries, and by time a time on every item.",
    ),
    "dataset_sealed": Code(
        "the split is sealed",
        "Change the dataset before you seal it; only the gate opens sealed items.",
    ),
    "dataset_seal_empty": Code(
        "there is nothing to seal", "Split the dataset so that certify or test has items."
    ),
    "dataset_seal_invalid": Code(
        "the seal and the sealed items do not belong together",
        "Take the dataset from its source again; its files were changed.",
    ),
    "dataset_seal_foreign": Code(
        "the dataset was sealed on another appliance, or with a key that is lost",
        "Seal it here from its source: `appliance dataset seal`. Earlier looks still count.",
    ),
    # the gate
    "dataset_not_sealed": Code(
        "the gate opens sealed splits only",
        "`appliance dataset seal DIR`, then sign, import and approve the dataset.",
    ),
    "candidate_fails": Code(
        "the candidate or the incumbent does not answer",
        "Load its model and try the task with `appliance eval run`; no look was taken.",
    ),
    "looks_spent": Code(
        "the sealed split has no looks left",
        "Collect new groups; `appliance eval ledger DATASET` lists the looks.",
    ),
    "looks_would_end": Code(
        "exporting outcomes ends the remaining looks of a sealed split",
        "Keep the looks, or add `--end-looks`.",
    ),
    "floor_missing": Code(
        "a gate without an incumbent needs a floor",
        "Add `--floor SHARE`, or name what it replaces with `--incumbent`; no look was taken.",
    ),
    "yearly_delta_spent": Code(
        "the policy allows no further certificate with this alpha within a year",
        "Give a smaller `--alpha`, or wait until older certificates are a year old.",
    ),
    "gate_interrupted": Code(
        "too many items of a gate or calibration got no answer, and not because of the task",
        "See that engines, upstreams and queues run, then start again;"
        " `appliance eval ledger DATASET` lists whether the look counts.",
    ),
    "sealed_item_unfit": Code(
        "an item of a sealed split does not fit the task",
        "Check the items against the task before sealing; no look was taken.",
    ),
    "specification_used": Code(
        "the signed specification was used before", "Sign a new one; it needs its own look."
    ),
    "specification_invalid": Code(
        "the specification of a gate cannot be used",
        "Make one with `appliance eval gate TASK --data DATASET --as NAME --key KEY`.",
    ),
    **_signed(
        "specification",
        "a specification",
        "Sign it again with `appliance eval gate`.",
        kinds=("signature",),
    ),
    "specification_other": Code(
        "the specification does not fit the task or the dataset as they are stored",
        "Sign a specification of what is stored now; its terms may not be milder than the task's.",
    ),
    "specifier_not_allowed": Code(
        "the key may not sign specifications",
        "Have a publisher or an approver of the trust policy sign them, under their own name.",
    ),
    **_signed(
        "pointer",
        "a pointer",
        "Make one with `appliance task promote NAME TASK --as NAME --key KEY --reason TEXT`.",
        kinds=("malformed", "signature"),
    ),
    "pointer_moved": Code(
        "the name points at another version now",
        "Check `appliance task live`, decide again, and sign again.",
    ),
    "pointer_missing": Code(
        "the name has no earlier version", "`appliance task live` lists the names."
    ),
    "evidence_key_unusable": Code(
        "the key that signs evaluations cannot be read or made",
        "Give the data directory's keys/ to the service, and restore keys/evidence.pem.",
    ),
    "evaluation_missing": Code(
        "the policy asks for an evaluation, and there is no certificate",
        "`appliance eval gate TASK --data DATASET --as NAME --key KEY`, or bring a certificate "
        "with `appliance eval import FILE`.",
    ),
    **_signed("evaluation", "a certificate", "Get it from its source again, or ask its signer."),
    "evaluation_not_passed": Code(
        "the evaluation did not pass",
        "Improve the task and run `appliance eval gate` again: approval needs a pass.",
    ),
    "evaluation_other_task": Code(
        "the certificate is for another task, model or metric",
        "Evaluate this version of the task; each change of it makes a certificate void.",
    ),
    "evaluation_other_dataset": Code(
        "the certificate is for another version of the dataset that is stored",
        "Evaluate on the dataset that is stored, or remove it.",
    ),
    "evaluation_other_engine": Code(
        "the certificate was made with another version of the engine",
        "`appliance eval carry ID` compares this engine with the recorded answers; or "
        "evaluate again.",
    ),
    "evaluation_no_replay": Code(
        "the task's recorded answers for a new engine to reproduce are missing",
        "Evaluate with the engine that serves: `appliance eval gate`.",
    ),
    "gate_labels_wanted": Code(
        "a gate waits for the labels of the items on which its two sides differ",
        "Have both raters run `appliance label next QUEUE`, then `appliance job resume ID`.",
    ),
    "label_queue_sealed": Code(
        "the labels of a gate's queue go to the gate only",
        "`appliance job resume ID` gives them to the gate.",
    ),
    "evaluation_change_unbounded": Code(
        "too few open groups of the task were compared to bound the new engine's change",
        "Evaluate with the new engine: `appliance eval gate`. More groups in `dev` let the "
        "next upgrade carry over.",
    ),
    "evaluation_contradicted": Code(
        "a later gate of the task failed",
        "Read it with `appliance eval certificates`. To approve the task anyway, name its "
        "id in `--meaning`.",
    ),
    "evaluation_expired": Code("the certificate has expired", "Evaluate again, on unseen groups."),
    "evaluation_from_future": Code(
        "the certificate is dated in the future", "Set the clock, then try again."
    ),
    "evaluation_unsupported": Code(
        "the policy requires an evaluation of something that cannot have one",
        "Ask the security officer to require it of tasks: only tasks are evaluated.",
    ),
    "evaluator_not_allowed": Code(
        "the key may not sign evaluations",
        "Have the policy's role evaluator list the key that `appliance eval key` prints.",
    ),
    "evaluator_revoked": Code(
        "the key that signed the evaluation is revoked",
        "Evaluate again with a key that is not revoked.",
    ),
    # labelling
    "label_queue_unknown": Code(
        "there is no such queue of items to label", "`appliance label list` names the queues."
    ),
    "label_queue_exists": Code(
        "a queue has this name already", "Choose another with --name, or remove the queue."
    ),
    "label_queue_empty": Code(
        "the dataset has nothing to label",
        "Put items without labels into the split `unlabelled`: a queue is made of them.",
    ),
    "label_unknown": Code(
        "the queue does not offer this label", "`appliance label next` lists the labels."
    ),
    "label_settled": Code(
        "this label is final: both raters have finished, or the item is settled",
        "Settle a difference with `appliance label set --together`, or let a third person decide.",
    ),
    "labels_unfinished": Code(
        "the two raters have not labelled every item yet",
        "Finish labelling: labels are compared, and a third person asked, when both raters "
        "are done.",
    ),
    "rater_invalid": Code(
        "this person is not a rater of the queue",
        "Ask one of the two raters that `appliance label show` names, or make the queue again.",
    ),
    # evaluation
    "outcomes_invalid": Code(
        "a file of outcomes is malformed", "Evaluate again; the file was changed or truncated."
    ),
    "outcomes_incomplete": Code(
        "some items have no outcome", "Let the evaluation finish, or resume its job."
    ),
    "item_unfit": Code(
        "an item of the dataset does not fit the task",
        "Correct the item or the task: fields, labels and form must agree.",
    ),
    "evaluation_invalid": Code(
        "the parameters of an evaluation cannot be used",
        "Name a task and a dataset, each by id or directory, and the split train or dev.",
    ),
    "evaluation_changed": Code(
        "the task, the dataset or a model changed while an evaluation was stopped",
        "Cancel the job and start it again: it would mix two different things.",
    ),
    "candidate_unknown": Code(
        "an evaluation has no such candidate", "`appliance eval show ID` names them."
    ),
    "example_not_train": Code(
        "an example of the task is not in the split train",
        "Take the examples from train, as `appliance task new` does: an item shown in the "
        "prompt cannot be measured.",
    ),
    "pack_changed": Code(
        "a pack's bytes are not those of its version", "Install the release again."
    ),
    # tuning
    "tuning_set_missing": Code(
        "the tuning set is not installed",
        "Run `make tune-setup` in a checkout, or `appliance-installer tuning` with the "
        "stick of offline-wheels/lock-tune.txt on an installed host: docs/tuning-guide.md.",
    ),
    "tuning_invalid": Code(
        "the parameters of a tuning cannot be used",
        "Name a task's directory, a dataset's directory and settings in their ranges: "
        "docs/tuning-guide.md.",
    ),
    "tuning_method": Code(
        "this way of tuning cannot be trained or served here", 'Leave the method at "lora".'
    ),
    "tuning_architecture": Code(
        "the base cannot be tuned here", "Choose a base of an architecture that the message names."
    ),
    "tuning_rows": Code(
        "there is too little training or dev data",
        "Bring labelled items for the splits train and dev; `appliance dataset check` counts them.",
    ),
    "tuning_row_too_long": Code(
        "a row has more tokens than the settings allow",
        "Raise `longest`, which takes memory, let the task's template show only the beginning of"
        " its input (docs/tuning-guide.md), or leave the named items out. Nothing is cut.",
    ),
    "tuning_memory": Code(
        "the trainer needs more memory than it was given",
        "Lower `tokens`, set `recompute`, or free memory; `appliance tune plan` says how much.",
    ),
    "tuning_not_finite": Code(
        "the training diverged to a number that is not finite", "Lower the learning rate, `rate`."
    ),
    "tuning_failed": Code(
        "the trainer ended without a result",
        "Resume the job; if it ends again, the message has its last words.",
    ),
    "tuning_checkpoint": Code(
        "a checkpoint of a tuning cannot be written or used",
        "Free space on the disk of the data directory, or start the tuning from the beginning.",
    ),
    "tuning_base_differs": Code(
        "the adapter was trained on another file than the one that serves",
        "Tune again from the base that is in the store.",
    ),
    "tuning_tokens_differ": Code(
        "a row was trained with other tokens than the server renders",
        "Use the chat template that serves; tune again from the task and base in the store.",
    ),
    "tuning_double_begin": Code(
        "rows begin with the begin token twice",
        "Correct the chat template: it must not write the token that the tokeniser adds.",
    ),
    "tuning_stop_untrained": Code(
        "answers would be trained without the token that ends them",
        "Correct the named items: an answer must not hold the token that ends it.",
    ),
    "tuning_nll_gap": Code(
        "the served model does not compute what was trained",
        "Serve the base and the quantisation that the adapter was trained on; then report it.",
    ),
    "tuning_greedy_differs": Code(
        "the served model prefers another token where the trainer is sure",
        "Serve the base and the quantisation that the adapter was trained on; then report it.",
    ),
    "tuning_not_stopping": Code(
        "the tuned model does not end its answers",
        "Train longer, or with more rows: the end of an answer is learned like the rest.",
    ),
    "tuning_forgets": Code(
        "the tuned model predicts texts outside its task much worse than the untrained one",
        "Lower `rate` or `epochs`, or bring more rows; `--most-forgotten` allows more.",
    ),
    "teacher_licence": Code(
        "the teacher's licence for training another model is not stated",
        "Read the teacher's licence; then state it: `tune teach --licence TEXT`.",
    ),
    "teacher_disagrees": Code(
        "the teacher agrees with people too rarely",
        "Show it more solved examples, use a better teacher, or lower `--least` on purpose.",
    ),
    "quantize_type": Code(
        "this type of weights cannot be made here",
        "Choose among Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 and the others of docs/tuning-guide.md.",
    ),
    "quantize_source": Code(
        "the model is already quantised; quantising it again loses more than it saves",
        "Import the model as F16, BF16 or F32, and start from that.",
    ),
    "quantize_changed": Code(
        "a quantised file differs from its source in more than its weights",
        "Report it: the file is not kept.",
    ),
    "quantize_failed": Code(
        "llama.cpp made no file of this type", "Choose another type; the message quotes llama.cpp."
    ),
    "convert_source": Code(
        "no GGUF file can be made of this directory",
        "Put the publisher's config.json, tokenizer.json and *.safetensors into one directory.",
    ),
    "convert_architecture": Code(
        "models of this architecture are not converted here",
        "Get the model as GGUF: only Llama and Qwen2 models with plain weights are converted.",
    ),
    "convert_tokenizer": Code(
        "llama.cpp would read this tokenizer differently",
        "Get the model as GGUF from its publisher.",
    ),
    "convert_tensors": Code(
        "the weights do not match their table or config.json",
        "Fetch the files again and compare their digests with the publisher's.",
    ),
    "convert_failed": Code(
        "the conversion ended without a file",
        "Free memory or disk, or correct the path: the message has the reason.",
    ),
    "report_missing": Code(
        "there is no such report",
        "`appliance eval run TASK` makes one; `appliance job show ID` shows its progress.",
    ),
    "answers_invalid": Code(
        "the answers to the advisor's questions cannot be used",
        "Correct what the message names; `appliance advise --example` prints a file to begin with.",
    ),
    "drift_found": Code(
        "the requests of the task have changed, so its evidence may no longer hold",
        "Read `appliance drift show TASK`; measure the task on new items, then approve it again.",
    ),
    "drift_missing": Code(
        "the requests of this task were never checked for drift",
        "Run `appliance drift check TASK`.",
    ),
    "advice_missing": Code(
        "no advice was given for this task yet", "Run `appliance advise TASK --answers FILE`."
    ),
    "neighbours_missing": Code(
        "the evaluation learned no nearest neighbours",
        "Approve an embedding model and run `appliance eval run` on a task of labels again.",
    ),
    "evaluation_empty": Code(
        "there is nothing to evaluate", "Choose a split that has labelled items."
    ),
    # collections of documents
    "collection_invalid": Code(
        "a setting of the collection or search is invalid",
        "Correct the named setting: docs/collections.md describes them.",
    ),
    "collection_exists": Code(
        "a collection has this name already", "Choose another name, or add to that collection."
    ),
    "collection_not_found": Code(
        "there is no such collection, or nothing in it may be read with this key",
        "`appliance collection list` names them; an admin changes who may read a document.",
    ),
    "collection_busy": Code(
        "removed text is still in the collection's write-ahead log",
        "Remove again when no search runs; `appliance collection verify NAME` lists the rest.",
    ),
    "collection_memory": Code(
        "the index of a collection does not fit into the memory budget",
        "Unload a model, raise memory_mib in appliance.toml, or divide the collection; the "
        "next search tries again.",
    ),
    "access_missing": Code(
        "the readers of the document are not named",
        "Pass --everyone, or --key and --group, each as often as needed.",
    ),
    "access_invalid": Code(
        "an access list or a group of keys names someone unknown",
        "Name API keys by id and groups by name: `appliance key list`.",
    ),
    "document_missing": Code(
        "there is no such document in the collection",
        "`appliance collection show NAME` lists the documents.",
    ),
    "document_unreadable": Code(
        "a document cannot be read", "Open it elsewhere and save it again, or leave it out."
    ),
    "document_unsupported": Code(
        "the format of the document is not supported", "Use one of the formats in the message."
    ),
    "document_too_large": Code(
        "a document is larger than a limit", "Split it: docs/collections.md has the limits."
    ),
    "document_time": Code(
        "reading a document took too long",
        "Split it, or save it in another format; it was skipped.",
    ),
    "questions_invalid": Code(
        "a file of questions with known answers cannot be used",
        'Write one JSON object a line: {"query": "…", "relevant": {"DOCUMENT": 1}}.',
    ),
    "embedder_changed": Code(
        "the vectors of the collection are of another model",
        "Load the model that the collection was made with, or make a new collection.",
    ),
    # lifecycle
    "unknown_model_id": Code("no such model in the store", "`appliance artifact list` names them."),
    "model_id_taken": Code("the id is in use by another artifact", "Pass another --id."),
    "invalid_model_id": Code(
        "the id has characters that are not allowed",
        "Use up to 64 letters, digits, dots, dashes and underscores; begin with a letter or digit.",
    ),
    "artifact_kind": Code(
        "the artifact is of another kind than this command needs",
        "`appliance artifact list` shows the kind of each artifact.",
    ),
    "wrong_state": Code(
        "the artifact's state does not allow this",
        "`appliance artifact show ID` names the next step.",
    ),
    "not_approved": Code(
        "the model has fewer valid approvals than the policy asks for",
        "Have another approver run `appliance artifact approve`.",
    ),
    "insufficient_memory": Code(
        "the model does not fit into the memory budget",
        "Unload another model, lower n_ctx or slots, or raise memory_mib in appliance.toml.",
    ),
    "gpu_driver_missing": Code(
        "a GPU was asked for, and no NVIDIA driver is loaded",
        'Install the driver and load its kernel module, or set device = "cpu"; docs/gpu.md.',
    ),
    "gpu_driver_too_old": Code(
        "the NVIDIA driver is older than every GPU plugin needs",
        "Update the driver, or install the plugin for it; docs/gpu.md has the table.",
    ),
    "gpu_plugin_missing": Code(
        "an NVIDIA driver is loaded, and no GPU plugin is installed",
        'Install the plugin wheel for this driver, or set device = "cpu"; docs/gpu.md.',
    ),
    "gpu_plugin_mismatch": Code(
        "the GPU plugin is damaged or was built for another version of the engine",
        "Install the plugin wheel that came with this release.",
    ),
    "gpu_backend_failed": Code(
        "the GPU backend does not load, finds no GPU or computes wrongly",
        "Run `appliance doctor`, which tries it again; the message quotes the driver.",
    ),
    "gpu_memory_insufficient": Code(
        "the layers asked for do not fit the free memory of the GPUs",
        "Set n_gpu_layers = 0, lower n_ctx or slots, or free memory on the GPU.",
    ),
    "model_load_failed": Code(
        "the engine could not load the model", "`appliance audit tail` shows the engine's reason."
    ),
    "not_sealed": Code(
        "the worker got a descriptor without all seals", "Report it: only sealed memory is loaded."
    ),
    "confinement_failed": Code(
        "the worker could not be confined, so no model was loaded",
        "Use a kernel with seccomp and Landlock; `appliance doctor` reports both.",
    ),
    "server_required": Code(
        "this command needs a running server", "Start it with `appliance serve`."
    ),
    "server_unreachable": Code(
        "the admin socket does not answer", "Start the server, or check who may use the socket."
    ),
    # trust: directories, signatures and manifests
    "artifact_not_directory": Code(
        "the artifact is not a plain directory", "Name the directory itself, not a link or a file."
    ),
    "model_missing": Code(
        "the files of the model are not on this host, as after a restore without models",
        "Import the artifact with the digest in `appliance artifact show ID` under the same id: its"
        " approvals are kept.",
    ),
    "model_suspended": Code(
        "a person, a check or repeated crashes took the model out of service",
        "`appliance status` shows the reason; approvals or a new load bring it back.",
    ),
    "artifact_unreadable": Code(
        "the artifact cannot be read", "Check the medium and the permissions of the files."
    ),
    "artifact_changed": Code(
        "the stored artifact differs from the one that was checked at import",
        "Suspend it, find out who changed the store, and import the artifact again.",
    ),
    "file_symlink": Code(
        "the artifact contains a symbolic link", "Replace the link with the file and sign again."
    ),
    "file_hardlink": Code(
        "a file of the artifact has a second name outside it",
        "Copy the artifact (`cp -r`) so that each file has one link.",
    ),
    "file_special": Code(
        "the artifact contains a FIFO, socket or device", "Remove it; only files and directories."
    ),
    "file_owner": Code(
        "a file of the store belongs to somebody else, or somebody else can write it",
        "Give the store back to the service's user or to root, mode 0700 and 0400; import again.",
    ),
    "file_name_refused": Code(
        "a file name is not portable, not normalised or differs from another only in case",
        "Rename the file and sign again.",
    ),
    "file_ignored_path": Code(
        "files are under a path that OMS signatures do not cover",
        "Remove .git, .github, .gitattributes and .gitignore from the artifact.",
    ),
    "file_limit": Code(
        "the artifact has too many, too deep or too large files",
        "Leave files out, or divide the artifact; docs/trust.md lists the limits.",
    ),
    "file_missing": Code(
        "a signed file is missing", "Copy the complete artifact from its publisher again."
    ),
    "file_extra": Code(
        "a file is not covered by the signature",
        "Remove the file, or have the publisher sign again.",
    ),
    "file_changed": Code(
        "a file's bytes differ from what was signed",
        "Do not use this copy; fetch the artifact from its publisher again.",
    ),
    "file_changing": Code(
        "a file changed while it was read", "Stop the program that writes it, and try again."
    ),
    "insufficient_disk": Code(
        "the disk has no room for the artifact", "Free space in the data directory and try again."
    ),
    "sealing_failed": Code(
        "the file cannot be held in sealed memory",
        "Free memory; `appliance doctor` shows what is missing.",
    ),
    "store_not_separated": Code(
        "a model may stay on disk only where the service cannot write",
        "Run the service as its own user and give the model's directory to root, read-only.",
    ),
    "mapping_mismatch": Code(
        "the engine mapped another file than the verified one, so it was ended",
        "Report it with the audit entries around it.",
    ),
    "import_interrupted": Code(
        "the import ended before its checks did, and its files were removed", "Import it again."
    ),
    "signature_missing": Code(
        "the artifact has no model.sig", "Sign it with `appliance artifact sign DIR --key KEY`."
    ),
    "signature_json_invalid": Code(
        "model.sig is not strict JSON (syntax, duplicate keys, numbers, depth or size)",
        "Have the publisher sign again.",
    ),
    "signature_malformed": Code(
        "model.sig is not an OMS v1.0 bundle with one signature", "Have the publisher sign again."
    ),
    "signature_method_unsupported": Code(
        "model.sig uses a method or algorithm that is not accepted",
        "Sign by key or certificate, with files or shards, sha256 and ECDSA.",
    ),
    "signature_key_unsupported": Code(
        "the key is not an ECDSA key on P-256, P-384 or P-521 in PEM",
        "Make one with `appliance signer new FILE`.",
    ),
    "signature_key_unknown": Code(
        "the signature was made with another key",
        "Ask who signed it, and get that person's public key.",
    ),
    "signature_wrong": Code(
        "the signature does not match the manifest", "Do not use this copy; ask the publisher."
    ),
    "certificate_malformed": Code(
        "a certificate, or the chain of certificates, cannot be read",
        "Pass PEM certificates: that of the key first, then its issuers.",
    ),
    "certificate_validity": Code(
        "a certificate is expired or not valid yet",
        "Check the host's clock; have the artifact signed with a valid certificate.",
    ),
    "certificate_usage": Code(
        "the signer's certificate may not sign data",
        "Sign with a certificate that has the key usage digitalSignature.",
    ),
    "certificate_untrusted": Code(
        "the certificate has no valid path to a trusted root",
        "Check the chain, and that the root is the one that is trusted here.",
    ),
    "certificate_key_mismatch": Code(
        "the certificate does not match the key", "Pass the certificate of this key first."
    ),
    "certificate_revoked": Code(
        "a certificate of the chain is revoked", "Have the artifact signed with a valid one."
    ),
    "manifest_shards": Code(
        "the manifest's shards leave gaps, overlap or cannot cover a file",
        "Have the publisher sign again; files without bytes need the method files.",
    ),
    "manifest_malformed": Code(
        "the signed manifest is malformed", "Have the publisher sign again."
    ),
    "manifest_name_refused": Code(
        "the manifest names a path that is not plain, relative and unique",
        "Do not use this copy; ask the publisher.",
    ),
    "manifest_ignore_refused": Code(
        "the manifest leaves out files or allows links", "Have the publisher sign all files."
    ),
    "manifest_root_mismatch": Code(
        "the manifest's root digest does not fit its files",
        "Do not use this copy; ask the publisher.",
    ),
    "model_file_count": Code(
        "a model artifact must hold exactly one *.gguf file",
        "Put each model into its own directory.",
    ),
    # trust: adapters
    "adapter_in_model_place": Code(
        "the file is an adapter, and the id is that of a model",
        "Import it as BASE:NAME, where BASE is the id of its base.",
    ),
    "model_in_adapter_place": Code(
        "the file is a whole model, and the id is that of an adapter",
        "Import it under an id without a colon.",
    ),
    "adapter_unbound": Code(
        "the adapter does not say which base it is for, in a signed adapter.json",
        "Have the publisher sign it with `appliance artifact sign DIR --base BASE_DIR`.",
    ),
    "adapter_statement_invalid": Code(
        "adapter.json is not the statement of a base",
        "Have the publisher sign it with `appliance artifact sign DIR --base BASE_DIR`.",
    ),
    "adapter_base_missing": Code(
        "the adapter's base is not in the store, or is not acceptable",
        "Import the base first, under the id before the colon.",
    ),
    "adapter_other_base": Code(
        "the adapter was signed for another base",
        "Use it with the base that adapter.json names, or have it made for this one.",
    ),
    "adapter_shape": Code(
        "the adapter's matrices do not fit the base", "Convert it for this base."
    ),
    "adapter_not_finite": Code(
        "the adapter has an infinite or undefined number, which would spoil every answer",
        "Train or convert it again; check the training loss.",
    ),
    "adapter_unsupported": Code(
        "the adapter uses something that the engine does not support",
        "Train it again on the weights that docs/adapters.md lists.",
    ),
    # trust: policy and approvals
    "policy_missing": Code(
        "there is no trust policy", "Run `appliance init`; at a site, `appliance trust update DIR`."
    ),
    "policy_invalid": Code(
        "the trust policy is malformed", "Ask the security officer for a corrected policy."
    ),
    "looks_unagreed": Code(
        "a look needs more than half of the site's appliances",
        "Bring the others up, or have the security officer take lost ones off the list; "
        "`appliance site status` names them.",
    ),
    "member_not_listed": Code(
        "the trust policy lists no such appliance",
        "`appliance site join` there writes a request, which the security officer signs.",
    ),
    "member_revoked": Code(
        "the key of an appliance is revoked",
        "Make a new evidence key there, and ask to be listed again with `appliance site join`.",
    ),
    "site_alone": Code(
        "this appliance has no other appliances of a site",
        'Add one with [peers."NAME"] in appliance.toml: docs/config.md.',
    ),
    "site_request": Code(
        "a request to be listed is malformed, or its signature does not hold",
        "Write it again with `appliance site join` on that appliance.",
    ),
    "site_stale": Code(
        "this appliance has heard no other of its site for too long, and the policy has it wait",
        "Try again; a balancer asks another appliance. `appliance site status` says why.",
    ),
    "mirror_unavailable": Code(
        "no other appliance has the log's entry of this answer",
        "Try again; the answer is in the log. `appliance site status` says who is silent.",
    ),
    "travelling_malformed": Code(
        "a document of the site cannot be read",
        "Take it from another appliance; both must be of releases that know it.",
    ),
    "travelling_signature": Code(
        "a document of the site is not signed as it says",
        "Do not use it; `appliance site status` says which appliance sent it.",
    ),
    "travelling_other_site": Code(
        "a document is of another site", "Take documents of this site's appliances only."
    ),
    "travelling_older": Code(
        "a newer version of the document is here", "Nothing; the newer version stays."
    ),
    "travelling_from_future": Code(
        "a document is dated more than a day ahead",
        "Set the clocks of this appliance and of the one that signed it.",
    ),
    "travelling_unknown_kind": Code(
        "this release does not know documents of this kind",
        "Upgrade this appliance to the release of the one that sent it.",
    ),
    "policy_signature": Code(
        "the trust policy is not signed by the trust root",
        "Do not use it; ask the security officer and check who changed it.",
    ),
    # trust: metadata of a site (TUF)
    "trust_fingerprint": Code(
        "the trust root does not have the fingerprint that was given",
        "Compare it with the printed record of the ceremony; stop if they differ.",
    ),
    "trust_metadata_missing": Code(
        "a file of the trust metadata is missing",
        "Copy the whole directory that `trust ceremony publish` wrote: metadata/ and targets/.",
    ),
    "trust_metadata_malformed": Code(
        "a file of the trust metadata is malformed",
        "Have the security officer publish again with `trust ceremony`.",
    ),
    "trust_metadata_too_long": Code(
        "a file of the trust metadata is longer than it may be",
        "Do not use this medium; docs/trust.md lists the limits.",
    ),
    "trust_root_unrelated": Code(
        "the new trust root is not signed by enough holders of the one in force",
        "Do not use this medium; ask the security officer through another channel.",
    ),
    "trust_root_version": Code(
        "the trust roots do not follow each other without a gap",
        "Put every N.root.json since the one in force on the medium.",
    ),
    "trust_root_weak": Code(
        "the trust root leaves a role to too few people or to keys that are not accepted",
        "Have a root signed that two people hold, with different ECDSA keys.",
    ),
    "trust_threshold": Code(
        "too few holders of a role have signed", "Have the missing holders sign."
    ),
    "trust_rollback": Code(
        "the trust metadata is older than the one already seen",
        "Use the security officer's newest medium; an older one is never accepted.",
    ),
    "trust_fast_forward": Code(
        "a version of the trust metadata jumps further than it may",
        "Ask the security officer: somebody may hold a key without right.",
    ),
    "trust_expired": Code(
        "the trust metadata is expired",
        "Get newer metadata from the security officer and run `appliance trust update DIR`.",
    ),
    "trust_expires_soon": Code(
        "the trust metadata expires soon",
        "Get newer metadata from the security officer and run `appliance trust update DIR`.",
    ),
    "trust_mixed": Code(
        "files of different versions of the trust metadata are mixed",
        "Copy the whole directory again from one publication.",
    ),
    "trust_hash": Code(
        "a file of the trust metadata does not have the length or digest that was signed",
        "Copy the whole directory again from the security officer's medium.",
    ),
    "trust_profile": Code(
        "a policy or a key of a lab was offered to a site, or the other way round",
        "Use the site's own keys and metadata: a lab never becomes a site.",
    ),
    "trust_stale": Code(
        "the trust metadata expired so long ago that models are no longer served",
        "Get newer metadata from the security officer and run `appliance trust update DIR`.",
    ),
    "ceremony_step": Code(
        "this step of the ceremony is not possible now",
        "`appliance trust ceremony status DIR` names the next step.",
    ),
    "ceremony_plan": Code(
        "the plan of the ceremony would not be accepted",
        "Name at least two signers of the root, and for every holder one name and one key a role.",
    ),
    "certificate_foreign": Code(
        "the server's certificate comes from a CA that this appliance did not make",
        "Have your CA renew it, and replace the files; a running server takes them.",
    ),
    "ca_key_missing": Code(
        "the key of the server's CA is not on this host",
        "Name it with --ca-key; if it is lost, --new-ca makes a new CA, and every client "
        "needs the new file once.",
    ),
    "ca_ends": Code(
        "the CA expires before a new certificate of it would",
        "Run `appliance tls renew --new-ca`; every client needs the new file once.",
    ),
    "passphrase_refused": Code(
        "the passphrase is too short, or does not open the key",
        "Try again with the right passphrase.",
    ),
    "clock_behind": Code(
        "the host's clock is behind a time that was already signed or recorded",
        "Set the clock; imports, approvals and updates then work again. If the clock was "
        "once in the future, a new root can reset it: docs/site-guide.md.",
    ),
    "clock_reset_refused": Code(
        "a new root would set the clock back before something already signed",
        "Have the security officer make a new root with today's time.",
    ),
    "publisher_not_allowed": Code(
        "the signer may not publish",
        "Sign it with a publisher's key of this site (`appliance artifact sign DIR --key FILE`); "
        "seal a dataset here first. Or ask the security officer to add the signer.",
    ),
    "algorithm_not_allowed": Code(
        "the policy does not allow the key's algorithm",
        "Use a key with an algorithm from the policy.",
    ),
    "key_revoked": Code(
        "the key is revoked", "Have the artifact signed or approved with a valid key."
    ),
    "digest_revoked": Code("the artifact is revoked", "Use a version that is not revoked."),
    "engine_revoked": Code("this engine version is revoked", "Update the appliance."),
    "model_not_in_policy": Code(
        "the policy does not allow this model", "Ask the security officer to allow it."
    ),
    "model_version_refused": Code(
        "the artifact is older than the policy allows, or states no version",
        "Use a newer artifact; its artifact.json has the version.",
    ),
    "adapter_not_in_policy": Code(
        "the policy does not allow this adapter with this model",
        "Ask the security officer to list the adapter's digest.",
    ),
    "description_invalid": Code(
        "artifact.json is malformed, or names something that the artifact lacks",
        "Have the publisher correct artifact.json and sign again; docs/trust.md has its fields.",
    ),
    "grammar_invalid": Code(
        "a grammar of the artifact cannot be read or enforced",
        "Have the publisher correct the named file and sign again; docs/grammars.md has the rules.",
    ),
    "template_not_in_policy": Code(
        "the chat template is not the pinned one", "Ask the approver to compare the templates."
    ),
    **_signed(
        "approval",
        "an approval",
        "Approve again with `appliance artifact approve`.",
        kinds=("malformed", "signature"),
    ),
    "approval_other_artifact": Code(
        "the approval is for another artifact or signature",
        "Approve the artifact that is stored now.",
    ),
    "approval_duplicate": Code(
        "this person has approved already", "Have another approver approve."
    ),
    "approval_void": Code(
        "the approval was given before a suspension made all approvals void",
        "Approve again with `appliance artifact approve`.",
    ),
    "approver_not_allowed": Code("the key may not approve", "Use the key of an approver."),
    "approver_name_mismatch": Code(
        "the name is not the person that the policy binds to the key",
        "Pass your own name with --as.",
    ),
    "approver_not_distinct": Code(
        "a publisher cannot approve their own artifact", "Have another person approve."
    ),
    # trust: GGUF
    "gguf_magic": Code("the file is not GGUF", "Convert the model to GGUF."),
    "gguf_version": Code(
        "the GGUF version or byte order is not accepted", "Convert it to GGUF v3."
    ),
    "gguf_truncated": Code("the GGUF file ends too early", "Copy the file again."),
    "gguf_limit": Code(
        "the GGUF file exceeds a limit",
        "Get a smaller model, or convert it again; docs/trust.md lists the limits.",
    ),
    "gguf_name": Code("a key or tensor has a name that is not allowed", "Convert the model again."),
    "gguf_duplicate": Code("a key or tensor occurs twice", "Convert the model again."),
    "gguf_value": Code("a metadata value has a wrong type or value", "Convert the model again."),
    "gguf_string": Code("a string is not UTF-8 or holds NUL", "Convert the model again."),
    "gguf_alignment": Code("the alignment is not acceptable", "Convert the model again."),
    "gguf_tensor_shape": Code("a tensor has an impossible shape", "Convert the model again."),
    "gguf_tensor_type": Code(
        "a tensor has an unknown or removed type", "Quantise the model again."
    ),
    "gguf_tensor_offset": Code("tensor data overlap or leave gaps", "Convert the model again."),
    "gguf_trailing": Code("bytes follow the tensor data", "Convert the model again."),
    "gguf_split": Code("the model is split over several files", "Merge it with llama-gguf-split."),
    "gguf_tokenizer": Code("the tokenizer's data are inconsistent", "Convert the model again."),
    "gguf_architecture": Code(
        "the model's architecture is not on the list",
        "Choose a model of an architecture that docs/trust.md lists.",
    ),
    "rerank_unusable": Code(
        "the model cannot rerank: its head is missing or does not work, or it needs more "
        "than the engine does",
        "Convert the model with its classification head; docs/api.md lists usable models.",
    ),
    # API keys
    "unknown_key_id": Code("no key has this id", "`appliance key list` names them."),
    "key_name_taken": Code(
        "a key of this name is in use", "Choose another name, or revoke the other key first."
    ),
    "invalid_key_name": Code(
        "the name of a key is empty, too long or not printable", "Use 1 to 64 printable characters."
    ),
    # requests
    "invalid_json": Code("the body is not JSON", "Send one JSON object in UTF-8."),
    "invalid_value": Code("a field has a value that is not allowed", "Correct the named field."),
    "unsupported_parameter": Code("a field asks for something unsupported", "Remove the field."),
    "invalid_api_key": Code(
        "the API key is missing, wrong, expired or revoked", "Ask an admin for a key."
    ),
    "session_ended": Code("the session of the browser has ended", "Sign in with the key again."),
    "forbidden": Code(
        "the caller's role does not allow this",
        "Ask an admin to give you the role: [admin.roles] in appliance.toml.",
    ),
    "wrong_model_kind": Code(
        "the model does not do this",
        "Name a model of the right kind: GET /v1/models has `meta.kind` of each.",
    ),
    "adapter_unloaded": Code(
        "the adapter was unloaded before the answer was complete",
        "GET /v1/models lists what is loaded; try again when an operator has loaded it.",
    ),
    "model_not_found": Code("no such model is being served", "GET /v1/models lists the ids."),
    "not_found": Code("no such resource", "Check the address: docs/api.md lists the routes."),
    "method_not_allowed": Code(
        "the address does not take this method",
        "Use a method that docs/api.md lists for the route.",
    ),
    "unsupported_media_type": Code(
        "the body is not JSON by its type", "Send Content-Type: application/json."
    ),
    "request_too_large": Code(
        "the body is larger than the limit", "Send less; limits are in appliance.toml."
    ),
    "malformed_http": Code(
        "the bytes are not one unambiguous HTTP/1.1 request", "Use an HTTP client; check proxies."
    ),
    "headers_too_large": Code("the headers are too long or too many", "Send fewer headers."),
    "request_timeout": Code(
        "the request came too slowly, or the client did not read the answer", "Check the network."
    ),
    "too_many_connections": Code(
        "too many connections are open", "Reuse connections; limits are in appliance.toml."
    ),
    "context_length_exceeded": Code(
        "prompt and answer do not fit into the model's context",
        "Shorten the prompt or lower max_tokens.",
    ),
    "labels_invalid": Code(
        "labels cannot be distinguished by their tokens, or one has too many of them",
        "Shorten or rename the label; a code of one letter for each label always works.",
    ),
    "invalid_schema": Code(
        "the constraint on the answer cannot be enforced",
        "Remove the named keyword, or ask for less structure; docs/api.md lists the limits.",
    ),
    "unknown_grammar": Code(
        "the model was not signed with a grammar of this name",
        "Use a name that the message lists; `appliance artifact show ID` lists them, too.",
    ),
    "output_invalid": Code(
        "the constraint led to a dead end or was broken; there is no answer",
        "Check that the schema can be satisfied by a finite text; if it can, report it.",
    ),
    "template_failed": Code(
        "the model's chat template refused the messages", "Check the roles and their order."
    ),
    "place_waited": Code(
        "an evaluation waited too long for the engine",
        "Try again later: other work uses the engine.",
    ),
    "key_quarantined": Code(
        "requests of this key have ended the model's engine twice",
        "Wait ten minutes; an operator finds the cause in the audit log.",
    ),
    "queue_full": Code(
        "too many requests are waiting", "Wait as long as Retry-After says, then try again."
    ),
    "rate_limit_exceeded": Code(
        "the key's requests or tokens of this minute are used up",
        "Wait as long as Retry-After says; an admin can give the key more.",
    ),
    "request_exceeds_quota": Code(
        "the request may take more tokens than the key has in a minute",
        "Lower max_tokens or shorten the prompt; an admin can give the key more.",
    ),
    "request_cancelled": Code("an operator or the stopping server ended the answer", "Try again."),
    # availability
    "audit_unavailable": Code(
        "the audit log cannot be written, so no answer may be sent",
        "Free disk space or repair the disk under the audit directory, then restart.",
    ),
    "receiver_behind": Code(
        "a receiver that must have the audit log lacks old entries, so nothing is answered",
        "`appliance audit receivers` says why; see to the receiver, or lower the demand:"
        " `stop_after_minutes`.",
    ),
    "log_ends_early": Code(
        "the audit log is shorter than appliance.db knows, so nothing is answered",
        "Restore audit/ and appliance.db from one backup, or decide: `appliance state settle`.",
    ),
    "worker_lost": Code("the engine process ended", "Try again: it restarts by itself."),
    "model_loading": Code(
        "the model is not ready yet", "Try again after the seconds that Retry-After says."
    ),
    "model_unavailable": Code(
        "the model cannot be loaded now",
        "`appliance audit tail` has the reason; fix it, or wait as long as Retry-After says.",
    ),
    "shutting_down": Code("the server is stopping", "Try again when it is back."),
    # audit log
    "database_damaged": Code(
        "a database of the audit log is damaged, or a file next to it would overwrite it",
        "Keep the files as evidence; `appliance audit verify` says more. Then restore a backup.",
    ),
    "audit_corrupt": Code(
        "the audit log on disk does not verify, so nothing is added to it",
        "Keep the files as evidence, run `appliance audit verify`, then restore a backup.",
    ),
    "audit_entry_invalid": Code(
        "an audit entry is malformed",
        "Keep the entry as evidence and run `appliance audit verify`: docs/audit-format.md.",
    ),
    "audit_origin_invalid": Code(
        "the name of the audit log cannot be used",
        "Use a name like a URL without scheme: no spaces, no plus sign.",
    ),
    "audit_key_invalid": Code(
        "a key file of an audit log cannot be read", "Pass the log's genesis.pub."
    ),
    "certificate_invalid": Code(
        "the site's key did not sign this log's certificate",
        "Pass the appliance's genesis.cert and the public key that made it.",
    ),
    "handover_invalid": Code(
        "a change of the log's signing key does not verify",
        "Keep the files as evidence, and compare with a witness or a receipt.",
    ),
    "checkpoint_invalid": Code(
        "a signed head of the log does not verify", "Compare the log's name and its genesis.pub."
    ),
    "proof_invalid": Code(
        "a proof does not verify",
        "Ask for the proof again and check it against the log's genesis.pub.",
    ),
    "content_key_missing": Code(
        "the key of a text is gone, though no entry records its erasure",
        "Keep keys.db as evidence, run `appliance audit verify`, and restore a backup of keys.db.",
    ),
    "replay_impossible": Code(
        "an answer cannot be computed again",
        "Choose another entry; docs/auditor-guide.md lists what a replay needs.",
    ),
    "content_unavailable": Code(
        "the text of an entry was not kept, was erased or does not decrypt",
        "`appliance audit show` says how the entry keeps its content.",
    ),
    "export_invalid": Code(
        "the copy lacks the requested entries",
        "Export the log again with `audit export --format tiles` and name that directory.",
    ),
    "prune_boundary": Code(
        "no segment of the log ends there",
        "`appliance audit retention` lists the entries where a prune may end.",
    ),
    "prune_too_young": Code(
        "the entries are too young to be pruned: six months, or audit.keep_days",
        "`appliance audit retention` says which segments are old enough.",
    ),
    "prune_not_exported": Code(
        "the exported copy differs from the entries to be pruned",
        "Export the log with `audit export --format tiles` and name that directory.",
    ),
    "prune_unsent": Code(
        "a receiver of the log may lack entries to be pruned",
        "Wait until `appliance audit receivers` shows none behind, or pass --unsent, which the log"
        " records.",
    ),
    "prune_unwitnessed": Code(
        "a witness has not yet seen all entries to be pruned",
        "Let the witness cosign the newest head first: `audit checkpoint --request`.",
    ),
    # upstreams: engines on other hosts
    "upstream_unknown": Code(
        "no upstream, or none of its hosts, has this name",
        "`appliance upstream list` shows those of appliance.toml.",
    ),
    "upstream_unlearnt": Code(
        "the upstream was not learnt yet",
        "Run `appliance upstream learn NAME` while its engine is idle, then have it approved.",
    ),
    "upstream_other": Code(
        "a host was approved elsewhere as it is not here",
        "Compare the tables of appliance.toml; else learn and approve it under another name.",
    ),
    "upstream_unstable": Code(
        "the upstream answers the same question differently",
        "Learn it while its engine is idle and runs with one setting of its numerics.",
    ),
    "upstream_unavailable": Code(
        "no host of the upstream is available",
        "`appliance upstream list` has the reason: not approved, not reached, drained or tripped.",
    ),
    "upstream_certificate": Code(
        "the certificate of an upstream host, or ours for it, was not accepted",
        "Compare `ca`, `certificate` and the host's name with the host's own certificate.",
    ),
    "upstream_tripped": Code(
        "an upstream host answers as if it ran another model",
        "Find out what runs there; `appliance upstream probe NAME` readmits it when it matches.",
    ),
    "upstream_lost": Code(
        "the connection to an upstream ended after the request was sent",
        "Send the request again if you want to: no other host could answer,"
        " or part of the answer had arrived.",
    ),
    "upstream_incomplete": Code(
        "an upstream ended its answer without a finish reason, or with an error",
        "Read the log of the engine; a partial answer is no answer.",
    ),
    "upstream_invalid": Code(
        "an upstream's answer does not follow its API",
        "Compare `kind` and the URL in appliance.toml with what runs there.",
    ),
    "upstream_redirect": Code(
        "an upstream answered with a redirect, and none is followed",
        "Name the host itself in `urls`.",
    ),
    "upstream_timeout": Code(
        "an upstream sent nothing for too long, or took too long in all",
        "Check the load of its host; `idle_seconds` and `answer_seconds` are the limits. An "
        "engine that was just started may compile at its first request: try again.",
    ),
    "upstream_busy": Code(
        "an upstream host has no room for the request", "Try again later, or add a host."
    ),
    "upstream_denied": Code(
        "an upstream rejected our key",
        "Compare the file that `api_key` names with the keys of the upstream.",
    ),
    "upstream_rejected": Code(
        "an upstream refused the request", "Correct the request as the quoted message says."
    ),
    "upstream_unsupported": Code(
        "engines of this kind do not support a field of the request",
        "Leave the named field out, or ask a model of this appliance.",
    ),
    "upstream_forbidden": Code(
        "the key may not use the upstream that would answer",
        "Ask an admin to allow the upstream for the key: `appliance key new --models`.",
    ),
    "incident_unknown": Code(
        "there is no such incident", "`appliance incident list --all` lists them."
    ),
    "queue_item_unknown": Code(
        "there is no such item in the queue, or not for this key",
        "`appliance queue list` lists the waiting items.",
    ),
    "queue_item_closed": Code(
        "the item was already answered, or its time is over",
        "`appliance queue list --all` shows how each ended; ask again for a new item.",
    ),
    "queue_answer_unfit": Code(
        "the answer does not have the task's form",
        "Give one of the labels, an object of the schema, or a text, as the item asks.",
    ),
    "queue_retention": Code(
        "the queue would have to keep the input, but this key's texts are not kept",
        "Use a route that does not queue for this key.",
    ),
    "idempotency_mismatch": Code(
        "an Idempotency-Key was used for another request of this key within a day",
        "Send each request under a name of its own, and again byte for byte.",
    ),
    "idempotency_running": Code(
        "the first request under this Idempotency-Key still runs",
        "Send it again after the seconds of `Retry-After`.",
    ),
    "idempotency_retention": Code(
        "an answer would have to be kept to be given again, and texts of this key are not",
        "Leave Idempotency-Key out, or use a key whose texts are kept.",
    ),
    "disk_full": Code(
        "the disk has no room for what is to be kept", "Free disk space; then send it again."
    ),
    "answer_unkept": Code(
        "an answer could not be kept to be given again, so it was not given",
        "Free disk space; then send the request again: a model runs again.",
    ),
    "kept_answers_full": Code(
        "too many answers are kept for this key",
        "Leave Idempotency-Key out, or wait: an answer is kept for a day.",
    ),
    "conversation_not_found": Code(
        "no such conversation, or item of it, is kept for this key, or not any more",
        "Begin another with POST /v1/conversations.",
    ),
    "response_not_found": Code(
        "no such response is kept for this key, or not any more",
        "Send the whole conversation as input; `store: false` and old ones are not kept.",
    ),
    "invalid_form": Code(
        "the body is not multipart/form-data with a file and its purpose",
        "Send the fields `purpose` and `file`, each once, as the SDKs of OpenAI do.",
    ),
    "file_not_found": Code(
        "no such file is kept for this key, or not any more",
        "`GET /v1/files` lists those that are; send the file again.",
    ),
    "file_in_use": Code(
        "a batch that has not ended reads the file", "Cancel the batch, or wait for its end."
    ),
    "files_full": Code(
        "the files of this key take all the room that they have",
        "Remove some by `DELETE /v1/files/{id}`; `max_mib_per_key` is the room.",
    ),
    "files_retention": Code(
        "a file or an answer would have to be kept, and texts of this key are not",
        "Use a key whose texts are kept.",
    ),
    "batch_for_person": Code(
        "files and batches are for apps: no person is there when a line runs",
        "Leave the person's token out; a key for verified people has no batches.",
    ),
    "batch_not_found": Code(
        "no such batch is kept for this key, or not any more", "`GET /v1/batches` lists those."
    ),
    "batch_ended": Code(
        "the batch has ended already", "`GET /v1/batches/{id}` says how; read its files."
    ),
    "too_many_batches": Code(
        "too many batches of this key have not ended", "Wait for one to end, or cancel one."
    ),
    "batch_empty": Code("the file has no line", "Send a file with one JSON object a line."),
    "batch_line_invalid": Code(
        "a line is no JSON object with custom_id, method, url and body",
        "Write each request as one JSON object on one line, in UTF-8.",
    ),
    "batch_line_too_long": Code(
        "a line is longer than a request may be",
        "Make the request shorter; `max_body_bytes` under [server] is the limit.",
    ),
    "batch_too_many_lines": Code(
        "a file has more lines than are allowed",
        "Send several files; `max_lines` under [batches] is the limit.",
    ),
    "batch_wrong_url": Code(
        "a line asks another address than its batch is for",
        "Give each address a file and a batch of its own.",
    ),
    "batch_mixed_models": Code(
        "the lines of a batch ask several models", "Give each model a file and a batch of its own."
    ),
    "batch_id_twice": Code(
        "two lines of a file have the same custom_id", "Give each line an id of its own."
    ),
    "batch_cancelled": Code(
        "the batch was cancelled before the line had an answer", "Send the line in a new batch."
    ),
    "batch_expired": Code(
        "the completion window ended before the line had an answer",
        "Send the line in a new batch, with a longer completion_window.",
    ),
    "erased": Code(
        "what was asked for was erased from the audit log, and so from here",
        "Begin again: another Idempotency-Key, or a new conversation.",
    ),
    "people_unavailable": Code(
        "the source of people does not answer",
        "Try again later; the server's log says why it cannot be read: `appliance logs`.",
    ),
    "person_certificate_expired": Code(
        "the person's certificate is not valid now", "Have the site's CA issue a new one."
    ),
    "person_certificate_invalid": Code(
        "the person's certificate is not one that the site pins",
        "Show a certificate for clients with the name that `[certificates]` asks for.",
    ),
    "person_certificate_revoked": Code(
        "the site's CA has revoked the person's certificate", "Have the site's CA issue a new one."
    ),
    "person_disabled": Code(
        "the directory says that the person's account is closed",
        "Ask the administrators of the directory.",
    ),
    "person_required": Code(
        "this is answered only for a verified person",
        "Pass the person's token on in `X-End-User-Token`: docs/people.md.",
    ),
    "person_token_early": Code(
        "the person's token is not valid yet",
        "Set the clocks of this host and of the login service: they differ.",
    ),
    "person_token_expired": Code(
        "the person's token has expired", "Get a new token from the login service."
    ),
    "person_token_foreign": Code(
        "the person's token is of another login service, or for another audience",
        "Ask the login service for a token for this appliance; `[oidc]` pins both.",
    ),
    "person_token_invalid": Code(
        "the person's token cannot be verified",
        "Pass the token on as the login service gave it; the message says what is wrong.",
    ),
    "person_token_lifetime": Code(
        "the person's token lives longer than the site allows",
        "Have the login service issue shorter ones, or raise `longest_minutes` in `[oidc]`.",
    ),
    "person_token_replayed": Code(
        "another app has used the person's token", "Get a token of its own for each app."
    ),
    "person_unknown": Code(
        "the directory knows no person of this name, or several",
        "Compare the name with the attribute that `person` in `[ldap]` names.",
    ),
    "people_queue_full": Code(
        "too many items wait for people", "Answer some, or let fewer be deferred."
    ),
    "upstream_retention": Code(
        "this key's texts are not kept, but the upstream may keep them",
        "Use an upstream with `keeps_content = false`, or a model of this appliance.",
    ),
    "internal_error": Code(
        "an unexpected error",
        "Report it with the request id; `appliance logs --level error` has the place.",
    ),
}


class ApplianceError(Exception):
    """An error with a stable code, for a person and for a script.

    Args:
        code: a key of `CODES`.
        message: what happened, one sentence, with the values that matter.
        param: the field or argument at fault, if there is one.
    """

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param

    @classmethod
    def of(cls, code: str, noun: str) -> Callable[[str], Self]:
        """Makes the errors of one code about one thing, each from what is wrong with it."""
        return lambda problem: cls(code, f"{noun}: {problem}.")

    @property
    def hint(self) -> str:
        return CODES[self.code].hint


class UsageError(ApplianceError):
    """The command line or the configuration is wrong."""


class Refused(ApplianceError):
    """A check said no, and nothing was changed."""


class SignatureRefused(Refused):
    """An artifact's signature or manifest does not hold."""


class GgufRejected(Refused):
    """A GGUF file breaks the format or a limit."""


class PolicyRefused(Refused):
    """The trust policy does not allow this."""


class DatasetRefused(Refused):
    """Items, a file of them, or a split is not what a dataset may hold."""


class CollectionRefused(Refused):
    """A collection, or a document for one, is not what it must be."""


class StateRefused(Refused):
    """A state, an id or a resource does not allow this."""


class TaskRefused(Refused):
    """A task's definition, or an answer for it, breaks its form."""


class EvaluationRefused(Refused):
    """Outcomes of an evaluation are malformed or incomplete."""


class TuningRefused(Refused):
    """An adapter cannot be trained, or would not serve as it was trained."""


class AuditRefused(Refused):
    """A log, a proof or a key does not verify."""


class RequestRefused(ApplianceError):
    """An API request that the client must change before it tries again."""


class BadRequest(RequestRefused):
    """The request is malformed or asks for what cannot be honoured."""


class Unauthenticated(RequestRefused):
    """No valid API key came with the request."""


class Forbidden(RequestRefused):
    """The caller is known and may not do this."""


class NotFound(RequestRefused):
    """The named thing does not exist, or not for this caller."""


class TooLarge(RequestRefused):
    """The request is larger than a limit."""


class Deferred(RequestRefused):
    """No stage may answer; a person must."""


class Queued(Deferred):
    """No stage may answer, and a person will be asked: no answer yet.

    Args:
        item: the item of the queue, as the app may read it.

    Attributes:
        ids: of the items of all inputs of the request that wait.
    """

    def __init__(self, code: str, message: str, *, item: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, message)
        self.item = item or {}
        self.ids: tuple[str, ...] = (str(self.item["id"]),) if item else ()

    @classmethod
    def together(cls, found: "Sequence[Queued]") -> "Queued":
        """The error for several inputs of one request."""
        first = found[0]
        if len(found) == 1:
            return first
        made = cls(first.code, " ".join(one.message for one in found), item=first.item)
        made.ids = tuple(dict.fromkeys(name for one in found for name in one.ids))
        return made


class Overloaded(RequestRefused):
    """A bounded queue is full or a quota is used up.

    Args:
        retry_after: seconds after which it may pass; None for the code's usual time.
    """

    def __init__(
        self, code: str, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(code, message, param=param)
        self.retry_after = retry_after


class Unavailable(ApplianceError):
    """The appliance cannot serve this now.

    Args:
        retry_after: seconds after which it may; None for the code's usual time.
    """

    def __init__(
        self, code: str, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(code, message, param=param)
        self.retry_after = retry_after


class AuditUnavailable(Unavailable):
    """The audit log cannot be written."""


class WorkerLost(Unavailable):
    """The engine process of the model ended."""


class UpstreamLost(WorkerLost):
    """An engine on another host was asked, and gave no whole answer."""


class ServerUnreachable(ApplianceError):
    """A command needs the running server."""
