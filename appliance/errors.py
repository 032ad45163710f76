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

Rules: each error has a code of `CODES`, a message with the values that matter, and the code's
hint, the next step. `api/errors.py` maps codes to HTTP statuses, `cli/main.py` to exit statuses.
`docs/errors.md` is made of this file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self


class Code(NamedTuple):
    """Meaning of a stable code, and the next step of the person who sees it."""

    meaning: str
    hint: str


TABLE: Final = """
# configuration and command line
config_invalid: appliance.toml cannot be used
    Correct the named key: docs/config.md.
data_missing: the data directory was not initialised
    Run `appliance init` for this directory.
data_exists: the target already exists
    Choose another directory or file; nothing is overwritten.
profile_unsupported: this profile lacks that
    Use a data directory of the other profile: docs/adr/0011-lab-profile.md.
data_locked: another process holds the data directory
    Stop it, or run the command while the server answers.
database_unusable: a database cannot be used safely
    Use the bundled SQLite; restore a damaged database from a backup.
database_newer: a newer release wrote this database
    Start the named release, or go back: `appliance-installer rollback --with-snapshot`, or an older
    backup.
erasure_unfinished: erased text is still in a database's write-ahead log
    Run the command again, or restart the server.
state_differs: appliance.db permits what the audit log does not
    Run `appliance state show`; then restore appliance.db, or decide: `appliance state settle`.
state_agrees: database and audit log agree: nothing to decide
    `appliance state show` lists the last comparison.
bind_refused: a non-loopback address needs TLS and a key
    Listen on 127.0.0.1; or run `appliance tls issue`, enable [tls] and create a key.
certificate_unusable: a certificate or its key cannot be used for TLS
    Check the files that [tls] names; `appliance tls issue` makes new ones.

# commands and the admin socket
file_unusable: a file cannot be read or written
    Check the path, its permissions and the free space.
key_unreadable: the file does not hold the needed key
    Pass a PEM key: ECDSA on P-256, P-384 or P-521; Ed25519 for the audit log.
host_key_locked: the keys are encrypted, and this process has no passphrase
    Run it on a terminal, or with --passphrase-file; a service needs the systemd credential
    `appliance.passphrase`.
host_key_missing: the appliance's keys are not encrypted
    Run `appliance protect on`.
key_in_plain: a secret is in plain text, though the keys are encrypted
    Stop the server and run `appliance protect on` again.
kek_renewing: the key-encryption key is being replaced
    Finish with `appliance protect renew kek`.
host_key_renewing: the host key is being replaced
    Finish with `appliance protect renew host`.
host_key_token: the token or TPM does not open the host key
    Connect it; if lost or reset: `appliance protect change --officer KEY`.
host_key_pcrs: the machine did not start as when its TPM sealed the host key
    Run `appliance protect change --officer KEY --key tpm:…` if it was updated.
host_key_damaged: the host key or a file under it cannot be used
    Restore keys/, audit/ and tls/ from one backup.
backup_recipients: too few or too many keys to encrypt a backup to
    Name public keys with `--to`.
backup_other_key: the backup is encrypted to other keys
    Pass the key of an officer of that time.
backup_damaged: the encrypted backup is incomplete or was changed
    Use another backup.
key_unencrypted: a private key is in a file without a passphrase
    Run `appliance signer encrypt FILE`.
token_uri_invalid: the `pkcs11:` URI does not name one key by RFC 7512
    Write 'pkcs11:token=NAME;object=KEY?module-path=/path/of/module.so', in quotes.
token_missing: no token matches the URI
    Insert the token; `p11tool --list-tokens` shows their names.
token_ambiguous: several tokens match the URI
    Name its serial number: `serial=…`.
token_key_missing: the token has no such key, or not its public half
    Check object= and id=, or make one: `appliance signer new 'pkcs11:…'`.
token_key_ambiguous: several keys on the token match the URI
    Add the key's id: `id=%01`. For a new key choose a free name.
token_pin_wrong: the token refused the PIN
    Check the PIN: a token locks after a few tries.
token_pin_locked: the token's PIN is locked
    Have its administrator unlock it: SO PIN or PUK.
token_full: the token has no room for another key
    Delete an unused key, or use another token.
token_removed: the token was removed while in use
    Insert it and try again.
token_refused: the token refused an operation
    Look up the CKR_ value in the vendor's manual; try again.
token_module_failed: the vendor's PKCS#11 module does not load, crashed or misbehaves
    Check module-path= and the vendor's service.
file_too_open: others can read a private file
    Run `chmod 0600 FILE`.
docs_missing: this installation lacks the guides
    Read docs/ in the bundle or source; in a checkout run `make docs`.
docs_port_taken: another program uses the guides' port
    Name a free port: `appliance docs --port N`.
unknown_page: the guides have no such page
    `appliance docs contents` lists them.
checkout_required: only a checkout can build a bundle
    Run it in a checkout of the source.
host_unsuitable: the host lacks something required
    Give the host what the message names: docs/admin-guide.md.
role_name_unknown: [admin.roles] names an unknown user or group
    Correct the name, or create the user or group.
incompatible_server: server and command are of incompatible versions
    Use the command of the server's version.
demo_model_missing: this installation came without a model to try
    Pass a GGUF file: `appliance model demo --from FILE`.
server_not_started: the server ended before it answered
    Read the end of the named file, correct the cause, start again.
interrupted: the client disconnected before the work was done
    Start it again; nothing was changed.

# statistics
coefficients_invalid: fitted coefficients or a monitor's state cannot be used
    Fit them again with this version.

# jobs
unknown_job_id: no such job
    `appliance job list` names them.
job_wrong_state: the job's state does not allow this
    See what is allowed: `appliance job show ID`.
job_kind_unknown: this version does not know this kind of job
    Use the version that started the job.
job_too_large: a job's parameters, checkpoint or result are too large
    Split it into smaller jobs.
too_many_jobs: too many heavy jobs are queued
    Wait until one ends, or cancel one: `appliance job list`.
jobs_unwritable: appliance.db cannot store the job
    Free space in the data directory and try again.
job_paused: the job was paused
    Resume it: `appliance job resume ID`.
job_cancelled: the job was cancelled
    Start it again if needed.
job_interrupted: the server ended while the job ran
    Resume it if `appliance job show ID` allows, else start it again.
job_failed: a job ended with an unexpected error
    Read `appliance logs`, and report them.

# tasks
task_invalid: task.toml breaks its format
    Correct the named place: docs/tasks.md.
task_labels_ambiguous: one label is the beginning of another
    Rename one, or give each a code in output.codes.
task_schema_invalid: the task's schema does not suit its form of answers
    Correct the named property, or choose encoding = "json".
task_metric_unfit: the metric cannot measure answers of the task's form
    Set gate.metric to one that fits the form: docs/tasks.md.
task_template_invalid: the task's template does not compile or uses an unknown field
    Correct prompt.user, or add the field to input.
task_input_invalid: the request lacks fields that the task takes
    Send a JSON object with the named fields as the user's message.
task_model_changed: the model under this id is not the task's
    Import the task's model, or sign a new version of the task.
task_model_missing: the task's model is not approved here, or cannot be loaded
    Import and approve it: `appliance artifact approve`.
task_examples_invalid: the task's examples cannot be used
    Correct the named line: an item with id, input and expected.
task_parameter: the request sets what the task fixes
    Leave the field out: the task sets prompt, form and sampling.
task_answer_unfit: the task's form cannot hold an expected answer
    Correct the item, or choose encoding = "json".
task_answer_invalid: the model's answer breaks the task's form
    Raise max_tokens: most such answers were truncated.

# routes
route_invalid: route.toml breaks its format
    Correct the named place: docs/routes.md.
task_deferred: no stage of the route may answer this input
    Have a person answer; `appliance route show ROUTE` says why.
task_queued: no stage may answer; the input waits for a person
    Read GET /v1/queue/{id} until it is answered or expired; the error's `item` has the id. The same
    request within a day returns the same item.
route_not_certified: no certificate lets the route's first stage answer
    Run `appliance route calibrate`; until then every request is escalated.
route_suspended: the route's certificate is suspended
    Find out why its answers got worse, then calibrate on new groups.
route_certificate_other: the certificate is for another route, terms, engine, host or time
    Run `appliance route carry` after an engine's upgrade, else `appliance route calibrate`.
route_no_replay: the route has no recorded answers for a new engine to reproduce
    Calibrate with the engine that serves: `appliance route calibrate`.
route_change_unbounded: too few open groups of the route bound the new engine's change
    Calibrate with the new engine: `appliance route calibrate`. With more groups
    the next upgrade can carry over.
route_certificate_expired: the route's certificate has expired
    Calibrate again on new groups.
route_certificate_malformed: the route's certificate is malformed
    Calibrate again.
route_certificate_signature: the signature of the route's certificate is invalid
    Calibrate again.
route_certificate_inconsistent: the route's certificate contradicts itself
    Calibrate again; do not use this one.
route_stage_away: a stage's task or model is not here
    Approve the task that the stage names, or sign a new route.
route_stage_unfit: a stage does not fit the route
    Give all stages the same fields and form, labels or fields; for `p_true` the first needs a
    model; `group_from` is a field, `key` or `person`.

# datasets
dataset_unreadable: a file of a dataset cannot be read
    Check the path; a dataset is a directory.
dataset_encoding: a file is not UTF-8 text
    Save it as UTF-8; in Excel: CSV UTF-8 (comma delimited).
dataset_malformed: a file is not the expected JSON lines, CSV or manifest
    Correct the named line: docs/datasets.md.
dataset_too_large: a dataset has too many items or bytes
    Split it, or leave out items: docs/datasets.md.
examples_not_agreed: prompts of this key may not become dataset items
    Ask the data's owners, then make a key with `appliance key new --examples`.
dataset_check_invalid: a check's parameters cannot be used
    Name a dataset by id or directory, a model, and a similarity from 0.5 to 1.
dataset_exists: the directory is not empty
    Choose a new directory.
csv_formula: a cell holds a formula, not a value
    Export values, or pass --formulas-are-text.
csv_columns: a CSV file has too many columns, or rows of unequal length
    Export only the needed columns; quote cells that hold the delimiter.
item_invalid: an item lacks a field or has one of the wrong kind
    Correct the named item and field: docs/datasets.md.
item_too_large: an item's input or expected answer is too large
    Shorten it, or split the document.
item_duplicate: two items have the same id
    Give every item its own id.
item_taught: a model-generated item is in a scoring split
    Leave such items in train: dev, certify and test need answers of people.
item_unknown: the dataset has no such item
    `appliance dataset show DIR --items` lists them.
group_missing: an item has no group
    Name what belongs together (document, customer, asset and day): --group COLUMN.
group_in_two_splits: one group is in two splits
    Split by group, or move the boundary: such splits give too good results.
split_ignores_groups: a random split would divide groups
    Use --by group, --by time or --by given.
split_invalid: the items cannot be split this way
    Give shares that add up to 1, or rising boundaries; by time every item needs a time.
dataset_sealed: the split is sealed
    Change a dataset before you seal it.
dataset_seal_empty: there is nothing to seal
    Split the dataset so that certify or test has items.
dataset_seal_invalid: the seal does not fit the sealed items
    Copy the dataset from its source again: its files changed.
dataset_seal_foreign: the dataset was sealed on another appliance, or with a lost key
    Seal it here from its source: `appliance dataset seal`. Earlier looks still count.

# the gate
dataset_not_sealed: the gate opens sealed splits only
    Run `appliance dataset seal DIR`, then sign, import and approve it.
candidate_fails: the candidate or the incumbent does not answer
    Load its model and try the task with `appliance eval run`; no look was taken.
looks_spent: the sealed split has no looks left
    Collect new groups; `appliance eval ledger DATASET` lists the looks.
looks_would_end: exporting outcomes ends a sealed split's remaining looks
    Keep the looks, or add `--end-looks`.
floor_missing: a gate without an incumbent needs a floor
    Add `--floor SHARE` or `--incumbent`; no look was taken.
yearly_delta_spent: the policy allows no further certificate with this alpha this year
    Give a smaller `--alpha`, or wait until older certificates are a year old.
gate_interrupted: too many items of a gate or calibration failed, not because of the task
    Check engines, upstreams and queues, then start again; `appliance eval ledger DATASET` says
    whether the look counts.
sealed_item_unfit: an item of a sealed split does not fit the task
    Check items before you seal; no look was taken.
specification_used: the signed specification was used before
    Sign a new one; it needs its own look.
specification_invalid: a gate's specification cannot be used
    Make one: `appliance eval gate TASK --data DATASET --as NAME --key KEY`.
specification_signature: a specification's signature is invalid
    Sign it again: `appliance eval gate`.
specification_other: the specification does not fit the stored task or dataset
    Sign one for what is stored now, with terms no milder than the task's.
specifier_not_allowed: the key may not sign specifications
    Have a publisher or approver of the policy sign, under their own name.
pointer_malformed: a pointer is malformed
    Make one: `appliance task promote NAME TASK --as NAME --key KEY --reason TEXT`.
pointer_signature: a pointer's signature is invalid
    Make another: `appliance task promote`.
pointer_moved: the name points at another version now
    Check `appliance task live`, decide again, and sign again.
pointer_missing: the name has no earlier version
    `appliance task live` lists the names.
evidence_key_unusable: the key that signs evaluations cannot be read or made
    Give the service the data directory's keys/, and restore keys/evidence.pem.
evaluation_missing: the certificate that the policy requires is missing
    Run `appliance eval gate TASK --data DATASET --as NAME --key KEY`, or bring one: `appliance eval
    import FILE`.
evaluation_malformed: a certificate is malformed
    Get it again from its source or signer.
evaluation_signature: a certificate's signature is invalid
    Get it again from its source or signer.
evaluation_inconsistent: a certificate contradicts itself
    Ask its signer; do not use this one.
evaluation_not_passed: the evaluation did not pass
    Improve the task and run `appliance eval gate` again.
evaluation_other_task: the certificate is for another task, model or metric
    Evaluate this version of the task: each change makes a certificate void.
evaluation_other_dataset: the certificate is for another version of the stored dataset
    Evaluate on the stored dataset, or remove it.
evaluation_other_engine: the certificate was made with another engine version
    Compare this engine with the recorded answers: `appliance eval carry ID`; or evaluate again.
evaluation_no_replay: the task has no recorded answers for a new engine to reproduce
    Evaluate with the engine that serves: `appliance eval gate`.
gate_labels_wanted: a gate waits for labels where its two sides differ
    Have both raters run `appliance label next QUEUE`, then `appliance job resume ID`.
label_queue_sealed: only the gate receives the labels of its queue
    Give them to it: `appliance job resume ID`.
evaluation_change_unbounded: too few open groups of the task bound the new engine's change
    Evaluate with the new engine: `appliance eval gate`. With more groups the next
    upgrade can carry over.
evaluation_contradicted: a later gate of the task failed
    Read it: `appliance eval certificates`. To approve the task anyway, name its id in `--meaning`.
evaluation_expired: the certificate has expired
    Evaluate again, on unseen groups.
evaluation_from_future: the certificate is dated in the future
    Set the clock, then try again.
evaluation_unsupported: the policy requires an evaluation of a non-task
    Ask the security officer to require it of tasks only.
evaluator_not_allowed: the key may not sign evaluations
    Have the security officer list the key that `appliance eval key` prints as evaluator.
evaluator_revoked: the key that signed the evaluation is revoked
    Evaluate again with a valid key.

# labelling
label_queue_unknown: no such label queue
    `appliance label list` names them.
label_queue_exists: a label queue has this name already
    Choose another with --name, or remove the queue.
label_queue_empty: the dataset has nothing to label
    Put items without labels into the split `unlabelled`.
label_unknown: the label queue does not offer this label
    `appliance label next` lists them.
label_settled: this label is final: both raters finished, or the item is settled
    Settle it with `appliance label set --together`, or ask a third person.
labels_unfinished: the raters have not labelled every item
    Finish labelling; then labels are compared.
rater_invalid: this person is not a rater of the label queue
    Ask a rater that `appliance label show` names, or make the label queue again.

# evaluation
outcomes_invalid: a file of outcomes is malformed
    Evaluate again.
outcomes_incomplete: some items have no outcome
    Let the evaluation finish, or resume its job.
item_unfit: an item does not fit the task
    Correct the item or the task: fields, labels and form must agree.
evaluation_invalid: an evaluation's parameters cannot be used
    Name task and dataset, by id or directory, and the split train or dev.
evaluation_changed: task, dataset or model changed while an evaluation was stopped
    Cancel the job and start again: it would mix versions.
candidate_unknown: an evaluation has no such candidate
    `appliance eval show ID` names them.
example_not_train: a task's example is not in train
    Take examples from train: an item shown in the prompt cannot be measured.
pack_changed: a pack's bytes are not those of its version
    Install the release again.

# tuning
tuning_set_missing: the tuning set is not installed
    Run `make tune-setup` in a checkout; on an installed host, `appliance-installer tuning` with the
    stick of offline-wheels/lock-tune.txt: docs/tuning-guide.md.
tuning_invalid: a tuning's parameters cannot be used
    Name the directories of a task and a dataset, and settings in range: docs/tuning-guide.md.
tuning_method: this way of tuning cannot be trained or served here
    Leave the method at "lora".
tuning_architecture: the base cannot be tuned here
    Choose an architecture that the message names.
tuning_rows: there is too little training or dev data
    Bring labelled items for the splits train and dev; `appliance dataset check` counts them.
tuning_row_too_long: a row has more tokens than the settings allow
    Raise `longest` (takes memory), shorten the input in the task's template (docs/tuning-guide.md),
    or leave the named items out.
tuning_memory: the trainer needs more memory than it was given
    Lower `tokens`, set `recompute`, or free memory; `appliance tune plan` says how much.
tuning_not_finite: the training diverged: a number is not finite
    Lower the learning rate, `rate`.
tuning_failed: the trainer ended without a result
    Resume the job; if it fails again, read the message.
tuning_checkpoint: a checkpoint of a tuning cannot be written or read
    Free space in the data directory, or start the tuning again.
tuning_base_differs: the adapter was not trained on the file that serves
    Tune again from the base in the store.
tuning_tokens_differ: a row was trained with other tokens than the server renders
    Use the chat template that serves; tune again from the stored task and base.
tuning_double_begin: rows begin with the begin token twice
    Remove the begin token from the chat template: the tokeniser adds it.
tuning_stop_untrained: answers would be trained without their end token
    Correct the named items: an answer must not hold that token.
tuning_nll_gap: the served model computes other probabilities than the trainer
    Serve the base and quantisation of the training; if it recurs, report it.
tuning_greedy_differs: the served model prefers another token where the trainer is sure
    Serve the base and quantisation of the training; if it recurs, report it.
tuning_not_stopping: the tuned model does not end its answers
    Train longer, or with more rows.
tuning_forgets: tuning made the model predict other texts much worse
    Lower `rate` or `epochs`, or bring more rows; `--most-forgotten` allows more.
teacher_licence: the teacher's licence for training is not stated
    Read the licence; state it: `appliance tune teach --licence TEXT`.
teacher_disagrees: the teacher agrees with people too rarely
    Show it more solved examples, use a better teacher, or lower `--least`.
quantize_type: this type of weights cannot be made here
    Choose one of docs/tuning-guide.md, such as Q8_0 or Q4_K_M.
quantize_source: the model is already quantised
    Start from F16, BF16 or F32.
quantize_changed: a quantised file differs from its source in more than its weights
    Report it; the file was discarded.
quantize_failed: llama.cpp made no file of this type
    Choose another type; the message quotes llama.cpp.
convert_source: the directory cannot become a GGUF file
    Put the publisher's config.json, tokenizer.json and *.safetensors into one directory.
convert_architecture: models of this architecture are not converted here
    Get it as GGUF: only Llama and Qwen2 with plain weights are converted.
convert_tokenizer: llama.cpp would read this tokenizer differently
    Get the model as GGUF from its publisher.
convert_tensors: the weights do not match their table or config.json
    Fetch the files again; compare their digests with the publisher's.
convert_failed: the conversion ended without a file
    Free memory or disk, or correct the path.
report_missing: no such report
    Make one: `appliance eval run TASK`.
answers_invalid: the answers to the advisor's questions cannot be used
    Correct the named answer: `appliance advise --example`.
drift_found: the task's requests have drifted, so its evidence may not hold
    Read `appliance drift show TASK`; measure the task on new items, then approve it again.
drift_missing: no drift check of this task has run
    Run `appliance drift check TASK`.
advice_missing: this task has no advice yet
    Run `appliance advise TASK --answers FILE`.
neighbours_missing: the evaluation learned no nearest neighbours
    Approve an embedding model and run `appliance eval run` on a task of labels again.
evaluation_empty: there is nothing to evaluate
    Choose a split that has labelled items.

# collections of documents
collection_invalid: a setting of the collection or search is invalid
    Correct the named setting: docs/collections.md.
collection_exists: a collection has this name already
    Choose another name, or add to it.
collection_not_found: no such collection, or none that this key may read
    Run `appliance collection list`; an admin can let the key read.
collection_busy: removed text is still in the collection's write-ahead log
    Remove again when no search runs; `appliance collection verify NAME` lists the rest.
collection_memory: a collection's index exceeds the memory budget
    Unload a model, raise memory_mib, or divide the collection.
access_missing: the document's readers are not named
    Pass --everyone, or --key and --group.
access_invalid: an access list or group names an unknown key or group
    Name keys by id, groups by name: `appliance key list`.
document_missing: the collection has no such document
    `appliance collection show NAME` lists them.
document_unreadable: a document cannot be read
    Open it elsewhere and save it again, or leave it out.
document_unsupported: the document's format is not supported
    Use a format of the message.
document_too_large: a document is larger than a limit
    Split it: docs/collections.md.
document_time: reading a document took too long, so it was skipped
    Split it, or save it in another format.
questions_invalid: a file of questions cannot be used
    Write one JSON object a line: {"query": "…", "relevant": {"DOCUMENT": 1}}.
embedder_changed: another model made the collection's vectors
    Load that model, or make a new collection.

# lifecycle
unknown_model_id: no such model in the store
    `appliance artifact list` names them.
model_id_taken: another artifact uses the id
    Pass another --id.
invalid_model_id: the id has disallowed characters
    Use up to 64 letters, digits, dots, dashes and underscores, first a letter or digit.
artifact_kind: this command needs another kind of artifact
    See the kinds: `appliance artifact list`.
wrong_state: the artifact's state does not allow this
    Read the next step: `appliance artifact show ID`.
not_approved: the model has too few valid approvals
    Have another approver run `appliance artifact approve`.
insufficient_memory: the model exceeds the memory budget
    Unload another model, lower n_ctx or slots, or raise memory_mib.
gpu_driver_missing: a GPU is configured, but no NVIDIA driver is loaded
    Install the driver and load its kernel module, or set device = "cpu": docs/gpu.md.
gpu_driver_too_old: the NVIDIA driver is older than every GPU plugin needs
    Update the driver, or install the plugin for it: docs/gpu.md.
gpu_plugin_missing: an NVIDIA driver is loaded, but no GPU plugin is installed
    Install the plugin wheel for this driver, or set device = "cpu": docs/gpu.md.
gpu_plugin_mismatch: the GPU plugin is damaged or of another engine version
    Install the plugin wheel of this release.
gpu_backend_failed: the GPU backend does not load, finds no GPU or computes wrongly
    Correct what the driver says in the message: docs/gpu.md.
gpu_memory_insufficient: the layers exceed the GPUs' free memory
    Set n_gpu_layers = 0, lower n_ctx or slots, or free GPU memory.
model_load_failed: the engine could not load the model
    Read why: `appliance audit tail`.
not_sealed: the worker got a descriptor without all seals
    Report it; nothing was loaded.
confinement_failed: the worker could not be confined
    Use a kernel with seccomp and Landlock; `appliance doctor` checks both.
server_required: this command needs a running server
    Start it with `appliance serve`.
server_unreachable: the admin socket does not answer
    Start the server, or check who may use its socket.

# trust: directories, signatures and manifests
artifact_not_directory: the artifact is not a plain directory
    Name the directory itself, not a link or a file.
model_missing: the model's files are not here, as after a restore without models
    Import the digest that `appliance artifact show ID` names under the same id: its approvals
    remain.
model_suspended: a person, a check or repeated crashes suspended the model
    Read why: `appliance status`; approvals or a new load resume it.
artifact_unreadable: the artifact cannot be read
    Check the medium and its permissions.
artifact_changed: the stored artifact changed after its import
    Suspend it, find out who changed the store, and import it again.
file_symlink: the artifact contains a symbolic link
    Replace the link with the file and sign again.
file_hardlink: a file of the artifact has a second name outside it
    Copy the artifact: `cp -r`.
file_special: the artifact contains a FIFO, socket or device
    Remove it.
file_owner: another user owns or can write a file of the store
    Give the store to the service's user or root, mode 0700 and 0400; import again.
file_name_refused: a file name is not portable or normalised, or differs only in case
    Rename the file and sign again.
file_ignored_path: OMS signatures do not cover files under this path
    Remove .git, .github, .gitattributes and .gitignore from the artifact.
file_limit: the artifact has too many, too deep or too large files
    Leave files out, or divide it: docs/trust.md.
file_missing: a signed file is missing
    Copy the whole artifact from its publisher again.
file_extra: a file is not covered by the signature
    Remove the file, or have the publisher sign again.
file_changed: a file's bytes differ from the signed ones
    Do not use this copy; fetch another from its publisher.
file_changing: a file changed while it was read
    Stop the program that writes it, and try again.
insufficient_disk: the disk has no room for the artifact
    Free space in the data directory and try again.
sealing_failed: the file cannot be held in sealed memory
    Free memory; see `appliance doctor`.
store_not_separated: a model may stay on disk only where the service cannot write
    Run the service as its own user; give the model's directory to root, read-only.
mapping_mismatch: the engine mapped an unverified file and was stopped
    Report it with the audit entries around it.
import_interrupted: the import ended before its checks; its files were removed
    Import it again.
signature_missing: the artifact has no model.sig
    Sign it: `appliance artifact sign DIR --key KEY`.
signature_json_invalid: model.sig is not strict JSON
    Have the publisher sign again.
signature_malformed: model.sig is no OMS v1.0 bundle with one signature
    Have the publisher sign again.
signature_method_unsupported: model.sig uses a method or algorithm that is refused
    Sign by key or certificate, with files or shards, sha256 and ECDSA.
signature_key_unsupported: the key is not ECDSA on P-256, P-384 or P-521 in PEM
    Make one with `appliance signer new FILE`.
signature_key_unknown: the signature was made with another key
    Ask who signed it, and get that person's public key.
signature_wrong: the signature does not match the manifest
    Do not use this copy; ask the publisher.
certificate_malformed: a certificate or its chain cannot be read
    Pass PEM certificates: the key's first, then its issuers.
certificate_validity: a certificate has expired or is not valid yet
    Check the host's clock; have the artifact signed with a valid one.
certificate_usage: the signer's certificate may not sign data
    Use one with the key usage digitalSignature.
certificate_untrusted: the certificate has no valid path to a trusted root
    Check the chain, and which root is trusted here.
certificate_key_mismatch: the certificate does not match the key
    Pass the certificate of this key first.
certificate_revoked: a certificate of the chain is revoked
    Have the artifact signed with a valid one.
manifest_shards: the manifest's shards have gaps, overlap or cannot cover a file
    Have the publisher sign again; empty files need the method files.
manifest_malformed: the signed manifest is malformed
    Have the publisher sign again.
manifest_name_refused: the manifest names a path that is not plain, relative and unique
    Do not use this copy; ask the publisher.
manifest_ignore_refused: the manifest leaves out files or allows links
    Have the publisher sign all files.
manifest_root_mismatch: the manifest's root digest does not fit its files
    Do not use this copy; ask the publisher.
model_file_count: a model artifact must hold exactly one *.gguf file
    Put each model into its own directory.

# trust: adapters
adapter_in_model_place: an adapter has a model's id
    Import it as BASE:NAME; BASE is its base's id.
model_in_adapter_place: a model has an adapter's id
    Import it under an id without a colon.
adapter_unbound: no signed adapter.json names the base
    Have the publisher sign it: `appliance artifact sign DIR --base BASE_DIR`.
adapter_statement_invalid: adapter.json does not name a base properly
    Have the publisher sign it: `appliance artifact sign DIR --base BASE_DIR`.
adapter_base_missing: the adapter's base is not in the store, or not acceptable
    Import it first, under the id before the colon.
adapter_other_base: the adapter was signed for another base
    Use the base in adapter.json, or another adapter.
adapter_shape: the adapter's matrices do not fit the base
    Convert it for this base.
adapter_not_finite: the adapter has an infinite or undefined number
    Train or convert it again; check the training loss.
adapter_unsupported: the engine does not support part of the adapter
    Train it on the weights that docs/adapters.md lists.

# trust: policy and approvals
policy_missing: there is no trust policy
    Run `appliance init`; at a site, `appliance trust update DIR`.
policy_invalid: the trust policy is malformed
    Get a corrected one from the security officer.
looks_unagreed: a look needs more than half of the site's appliances
    Start the others, or have the security officer delist lost ones: `appliance site status`.
member_not_listed: the trust policy lists no such appliance
    Run `appliance site join` there; the security officer signs its request.
member_revoked: an appliance's key is revoked
    Make a new evidence key there, then `appliance site join`.
site_alone: this appliance knows no other of its site
    Add one with [peers."NAME"] in appliance.toml: docs/config.md.
site_request: a request to be listed is malformed or wrongly signed
    Write it again there: `appliance site join`.
site_stale: the site has been silent longer than the policy allows
    Try again: a balancer asks another appliance. `appliance site status` says why.
mirror_unavailable: no other appliance has the log's entry of this answer
    Try again; `appliance site status` names the silent appliance.
member_unreachable: an appliance that may have it is silent
    Try again; `appliance site status` names it.
travelling_malformed: a document of the site cannot be read
    Take it from another appliance of this release.
travelling_signature: a site document's signature is invalid
    Do not use it; `appliance site status` names the sender.
travelling_other_site: a document is of another site
    Take documents only from appliances of this site.
travelling_older: this appliance has a newer version
    Do nothing: the newer one stays.
travelling_from_future: a document is dated more than a day ahead
    Set the clocks here and where it was signed.
travelling_unknown_kind: this release knows no such documents
    Upgrade this appliance to the sender's release.
policy_signature: the trust root did not sign the trust policy
    Do not use it; ask the security officer who changed it.

# trust: metadata of a site (TUF)
trust_fingerprint: the trust root does not have the given fingerprint
    Compare it with the ceremony's printed record; stop if they differ.
trust_metadata_missing: a file of the trust metadata is missing
    Copy the whole directory of `appliance trust ceremony publish`: metadata/ and targets/.
trust_metadata_malformed: a file of the trust metadata is malformed
    Have the officer publish again: `appliance trust ceremony`.
trust_metadata_too_long: a file of the trust metadata is too long
    Do not use this medium: docs/trust.md.
trust_root_unrelated: too few holders of the current trust root signed the new one
    Do not use this medium; ask the security officer another way.
trust_root_version: the versions of the trust roots have a gap
    Put every N.root.json since the current one on the medium.
trust_root_weak: the trust root gives a role too few people or keys that are not accepted
    Have a root signed that two people hold, with different ECDSA keys.
trust_threshold: too few holders of a role have signed
    Have the missing holders sign.
trust_rollback: the trust metadata is older than that already seen
    Use the security officer's newest medium.
trust_fast_forward: a version of the trust metadata jumps too far
    Ask the security officer: somebody may misuse a key.
trust_expired: the trust metadata has expired
    Get newer metadata from the security officer: `appliance trust update DIR`.
trust_expires_soon: the trust metadata expires soon
    Get newer metadata from the security officer: `appliance trust update DIR`.
trust_mixed: files of different versions of the trust metadata are mixed
    Copy the whole directory again from one publication.
trust_hash: a file of the trust metadata differs from its signed length or digest
    Copy the whole directory again from the security officer's medium.
trust_profile: a lab's policy or key is at a site, or the reverse
    Use the site's own keys and metadata: a lab never becomes a site.
trust_stale: the trust metadata expired so long ago that no model is served
    Get newer metadata from the security officer: `appliance trust update DIR`.
ceremony_step: this step is not possible now
    Run `appliance trust ceremony status DIR`: it names the next.
ceremony_plan: the ceremony's plan would be refused
    Name at least two root signers, and one name and key a role for every holder.
certificate_foreign: the server's certificate is from another CA
    Have your CA renew it, and replace the files; a running server takes them.
ca_key_missing: the CA's key is not on this host
    Name it with --ca-key; without it, --new-ca: every client needs the new file once.
ca_ends: the CA would expire before its new certificate
    Run `appliance tls renew --new-ca`; every client needs the new file once.
passphrase_missing: the passphrase file has too few lines
    Add a line; a new passphrase needs its own.
passphrase_refused: the passphrase is too short, or does not open the key
    Try again with the right passphrase.
clock_behind: the host's clock is behind a signed or recorded time
    Set the clock. If it once ran in the future, a new root resets it: docs/site-guide.md.
clock_reset_refused: a new root would set the clock back before something signed
    Have the security officer make a root with today's time.
publisher_not_allowed: the signer may not publish
    Sign with a publisher's key (`appliance artifact sign DIR --key FILE`), or ask the
    security officer to add the signer. Seal a dataset here first.
algorithm_not_allowed: the policy does not allow the key's algorithm
    Use a key of an allowed algorithm.
key_revoked: the key is revoked
    Have the artifact signed or approved with a valid key.
digest_revoked: the artifact is revoked
    Use another version.
engine_revoked: this engine version is revoked
    Update the appliance.
model_not_in_policy: the policy does not allow this model
    Ask the security officer to allow it.
model_version_refused: the artifact is older than the policy allows, or states no version
    Use a newer artifact; its artifact.json has the version.
adapter_not_in_policy: the policy does not allow this adapter with this model
    Ask the security officer to list its digest.
description_invalid: artifact.json is malformed or names something missing
    Have the publisher correct it and sign again: docs/trust.md.
grammar_invalid: a grammar of the artifact cannot be read or enforced
    Have the publisher correct the named file and sign again: docs/grammars.md.
template_not_in_policy: the chat template is not the pinned one
    Ask the approver to compare the templates.
approval_malformed: an approval is malformed
    Approve again: `appliance artifact approve`.
approval_signature: an approval's signature is invalid
    Approve again: `appliance artifact approve`.
approval_other_artifact: the approval is for another artifact or signature
    Approve the stored artifact.
approval_duplicate: this person has approved already
    Have another approver approve.
approval_void: a suspension voided this approval
    Approve again: `appliance artifact approve`.
approver_not_allowed: the key may not approve
    Use the key of an approver.
approver_name_mismatch: the policy binds the key to another name
    Pass your own name with --as.
approver_not_distinct: a publisher cannot approve their own artifact
    Have another person approve.

# trust: GGUF
gguf_magic: the file is not GGUF
    Convert the model to GGUF.
gguf_version: the GGUF version or byte order is not accepted
    Convert it to GGUF v3.
gguf_truncated: the GGUF file ends too early
    Copy the file again.
gguf_limit: the GGUF file exceeds a limit
    Get a smaller model, or convert it again: docs/trust.md.
gguf_name: a key or tensor has a disallowed name
    Convert it again.
gguf_duplicate: a key or tensor occurs twice
    Convert it again.
gguf_value: a metadata value has a wrong type or value
    Convert it again.
gguf_string: a string is not UTF-8 or holds NUL
    Convert it again.
gguf_alignment: the alignment is not acceptable
    Convert it again.
gguf_tensor_shape: a tensor has an impossible shape
    Convert it again.
gguf_tensor_type: a tensor has an unknown or removed type
    Quantise it again.
gguf_tensor_offset: tensor data overlap or leave gaps
    Convert it again.
gguf_trailing: bytes follow the tensor data
    Convert it again.
gguf_split: the model is split over several files
    Merge it with llama-gguf-split.
gguf_tokenizer: the tokenizer's data are inconsistent
    Convert it again.
gguf_architecture: the model's architecture is not on the list
    Choose one that docs/trust.md lists.
rerank_unusable: the model's rerank head is missing, broken or too large
    Convert it with its classification head; docs/api.md lists models.

# API keys
unknown_key_id: no key has this id
    `appliance key list` names them.
key_name_taken: a key of this name is in use
    Choose another name, or revoke the other key first.
invalid_key_name: a key's name is empty, too long or not printable
    Use 1 to 64 printable characters.

# requests
invalid_json: the body is not JSON
    Send one JSON object in UTF-8.
invalid_value: a field has a disallowed value
    Correct the named field.
unsupported_parameter: a field asks for something unsupported
    Remove the field.
invalid_api_key: the API key is missing, wrong, expired or revoked
    Ask an admin for a key.
session_ended: the browser's session has ended
    Sign in with the key again.
forbidden: the caller's role does not allow this
    Ask an admin to give you the role: [admin.roles] in appliance.toml.
wrong_model_kind: the model does not do this
    Name a model of the right kind: `meta.kind` in GET /v1/models.
adapter_unloaded: the adapter was unloaded before the answer ended
    Try again once it is loaded: GET /v1/models.
model_not_found: no such model is served
    GET /v1/models lists them.
not_found: no such resource
    Check the address: docs/api.md lists the routes.
method_not_allowed: the address does not take this method
    Use one that docs/api.md lists.
unsupported_media_type: the body's type is not JSON
    Send Content-Type: application/json.
request_too_large: the body is larger than the limit
    Send less; limits are in appliance.toml.
malformed_http: the bytes are not one unambiguous HTTP/1.1 request
    Use an HTTP client; check proxies.
headers_too_large: the headers are too long or too many
    Send fewer headers.
request_timeout: the client sent or read too slowly
    Check the network.
too_many_connections: too many connections
    Reuse connections; limits are in appliance.toml.
context_length_exceeded: prompt and answer exceed the model's context
    Shorten the prompt or lower max_tokens.
labels_invalid: labels cannot be told apart by their tokens, or one has too many
    Shorten or rename the label; one letter for each label always works.
invalid_schema: the constraint on the answer cannot be enforced
    Remove the named keyword, or simplify: docs/api.md.
unknown_grammar: the model has no signed grammar of this name
    Use one that the message or `appliance artifact show ID` lists.
output_invalid: the constraint led to a dead end or was broken
    Check that a finite text satisfies the schema; if so, report it.
template_failed: the model's chat template refused the messages
    Check the roles and their order.
place_waited: an evaluation waited too long for the engine
    Try again later.
key_quarantined: this key's requests crashed the model's engine twice
    Wait ten minutes; an operator finds the cause in the audit log.
queue_full: too many requests wait
    Try again after Retry-After.
rate_limit_exceeded: the key used up its requests or tokens of this minute
    Try again after Retry-After; an admin can raise the limit.
request_exceeds_quota: the request may exceed the key's tokens per minute
    Lower max_tokens or shorten the prompt; an admin can raise the limit.
request_running: the request is still being answered
    Wait, or end it: `appliance request cancel ID`.
request_cancelled: an operator or the stopping server ended the answer
    Try again.

# availability
audit_unavailable: the audit log cannot be written, so no answer may be sent
    Free space on the audit directory's disk, or repair it, then restart.
receiver_behind: a receiver of the audit log is too far behind
    Read why: `appliance audit receivers`; mend it, or change `stop_after_minutes`.
log_ends_early: the audit log is shorter than appliance.db knows
    Restore audit/ and appliance.db from one backup, or decide: `appliance state settle`.
worker_lost: the engine process ended
    Try again: it restarts by itself.
model_loading: the model is not ready yet
    Try again after Retry-After.
model_unavailable: the model cannot be loaded now
    Read why: `appliance audit tail`; fix it, or try after Retry-After.
shutting_down: the server is stopping
    Try again when it is back.

# audit log
database_damaged: a database of the audit log is damaged, or a file beside it would overwrite it
    Keep the files as evidence; run `appliance audit verify`; then restore a backup.
audit_corrupt: the audit log on disk does not verify
    Keep the files as evidence; run `appliance audit verify`; then restore a backup.
audit_entry_invalid: an audit entry is malformed
    Keep it as evidence; run `appliance audit verify`: docs/audit-format.md.
audit_origin_invalid: the audit log's name cannot be used
    Use a name like a URL without scheme, spaces or plus signs.
audit_key_invalid: an audit log's key file cannot be read
    Pass the log's genesis.pub.
certificate_invalid: the site's key did not sign this log's certificate
    Pass the appliance's genesis.cert and the public key that signed it.
handover_invalid: a change of the log's signing key does not verify
    Keep the files as evidence, and compare with a witness or a receipt.
checkpoint_invalid: a signed head of the log does not verify
    Compare the log's name and its genesis.pub.
proof_invalid: a proof does not verify
    Ask for the proof again and check it against the log's genesis.pub.
content_key_missing: a text's key is gone without a recorded erasure
    Keep keys.db as evidence; run `appliance audit verify`; restore keys.db from a backup.
replay_impossible: an answer cannot be computed again
    Choose another entry: docs/auditor-guide.md.
content_unavailable: an entry's text was not kept, was erased or does not decrypt
    Read how it is kept: `appliance audit show`.
export_invalid: the copy lacks requested entries
    Export again with `appliance audit export --format tiles`; name that directory.
prune_boundary: no segment of the log ends there
    List where one may end: `appliance audit retention`.
prune_too_young: the entries are younger than six months or `keep_days`
    List older segments: `appliance audit retention`.
prune_not_exported: the exported copy differs from the entries to be pruned
    Export with `appliance audit export --format tiles`; name that directory.
prune_unsent: a receiver of the log may lack entries to be pruned
    Wait until `appliance audit receivers` shows none behind, or pass --unsent, which is recorded.
prune_unwitnessed: a witness has not yet seen all entries to be pruned
    Let the witness cosign the head first: docs/auditor-guide.md.

# upstreams: engines on other hosts
upstream_unknown: no upstream, or none of its hosts, has this name
    List those of appliance.toml: `appliance upstream list`.
upstream_unlearnt: the upstream has not been learnt
    Run `appliance upstream learn NAME` while its engine is idle, then have it approved.
upstream_other: the host was approved elsewhere with other settings
    Compare the tables of appliance.toml; or learn and approve it under another name.
upstream_unstable: the upstream answers the same question differently
    Learn it while its engine is idle, with one setting of its numerics.
upstream_unavailable: no host of the upstream is available
    Read why: `appliance upstream list`.
upstream_certificate: an upstream host's certificate, or ours for it, was refused
    Compare `ca`, `certificate` and the host's name with its certificate.
upstream_tripped: an upstream host answers as if it ran another model
    See what runs there; `appliance upstream probe NAME` readmits it.
upstream_lost: the connection to an upstream ended after the request was sent
    Send it again if you wish: no other host answered, or part had arrived.
upstream_incomplete: an upstream ended its answer with an error or no finish reason
    Read the engine's log; do not use the partial answer.
upstream_invalid: an upstream's answer does not follow its API
    Compare `kind` and the URL in appliance.toml with what runs there.
upstream_redirect: an upstream redirects, which is never followed
    Name the host itself in `urls`.
upstream_timeout: an upstream sent nothing for too long, or took too long in all
    Check its host's load; the limits are `idle_seconds` and `answer_seconds`. A new engine may
    compile first: try again.
upstream_busy: an upstream host has no room for the request
    Try again later, or add a host.
upstream_denied: an upstream rejected our key
    Compare the file of `api_key` with the upstream's keys.
upstream_rejected: an upstream refused the request
    Correct it as the quoted message says.
upstream_unsupported: this kind of engine does not support a field
    Leave the named field out, or ask a local model.
upstream_forbidden: the key may not use the upstream that would answer
    Ask an admin to allow it: `appliance key new --models`.
incident_unknown: no such incident
    `appliance incident list --all` lists them.
queue_item_unknown: this key has no such item that waits for a person
    List them: `appliance queue list`.
queue_item_closed: the item was answered, or has expired
    See how: `appliance queue list --all`; ask again for a new item.
queue_answer_unfit: the answer does not have the task's form
    Give a label, schema object or text, as the item asks.
queue_retention: an input that waits for a person is kept, but this key's texts are not kept
    Use a route that does not queue.
idempotency_mismatch: this key used the Idempotency-Key for another request within a day
    Give each request its own key; retry it byte for byte.
idempotency_running: the first request under this Idempotency-Key still runs
    Send it again after Retry-After.
idempotency_retention: a retry needs a kept answer, but this key's texts are not kept
    Leave Idempotency-Key out, or use a key whose texts are kept.
disk_full: the disk has no room for what must be kept
    Free disk space, then repeat it.
answer_unkept: an answer was not sent because it could not be kept
    Free disk space, then repeat the request: a model runs again.
kept_answers_full: too many answers are kept for this key
    Leave Idempotency-Key out, or wait: answers are kept a day.
conversation_not_found: this key has no such conversation or item
    Begin another: POST /v1/conversations.
response_not_found: this key has no such response
    Send the whole conversation as input: `store: false` and old ones are not kept.
invalid_form: the body is not multipart/form-data with a file and its purpose
    Send `purpose` and `file` once each, as OpenAI's SDKs do.
file_not_found: this key has no such file
    List them: `GET /v1/files`; or send it again.
file_in_use: an unfinished batch reads the file
    Cancel the batch, or wait for it.
files_full: the key's files fill their room
    Remove some: `DELETE /v1/files/{id}`; the limit is `max_mib_per_key`.
files_retention: a file or answer would be kept, but this key's texts are not
    Use a key whose texts are kept.
batch_for_person: files and batches are for apps, not for people
    Leave the person's token out; a key for verified people has no batches.
batch_not_found: this key has no such batch
    List them: `GET /v1/batches`.
batch_ended: the batch has already ended
    Read `GET /v1/batches/{id}` and its files.
too_many_batches: this key has too many unfinished batches
    Wait for one, or cancel one.
batch_empty: the file has no line
    Send one with one JSON object a line.
batch_line_invalid: a line is not a JSON object with custom_id, method, url and body
    Write each request as one line of JSON in UTF-8.
batch_line_too_long: a line is longer than requests may be
    Shorten it; the limit is `max_body_bytes` under [server].
batch_too_many_lines: a file has too many lines
    Send several files; the limit is `max_lines` under [batches].
batch_wrong_url: a line asks another address than its batch
    Give each address its own file and batch.
batch_mixed_models: the lines of a batch ask several models
    Give each model its own file and batch.
batch_id_twice: two lines of a file have the same custom_id
    Give each line its own id.
batch_cancelled: the batch was cancelled before the line was answered
    Send the line in a new batch.
batch_expired: the completion window ended before the line was answered
    Send it again with a longer completion_window.
erased: its text was erased from the audit log
    Use another Idempotency-Key, or begin a new conversation.
people_unavailable: the source of people does not answer
    Try again later; `appliance logs` has the reason.
person_certificate_expired: the person's certificate has expired or is not valid yet
    Have the site's CA issue another.
person_certificate_invalid: the site does not accept the person's certificate
    Show one with the name that `[certificates]` asks for.
person_certificate_revoked: the site's CA revoked the person's certificate
    Have the site's CA issue another.
person_disabled: the directory has closed the person's account
    Ask the directory's administrators.
person_required: only a verified person gets an answer here
    Pass the person's token in `X-End-User-Token`: docs/people.md.
person_token_bound: the person's token is bound to a key
    Get a bearer token, without `cnf`.
person_token_early: the person's token is not valid yet
    Set the clocks of this host and the login service.
person_token_expired: the person's token has expired
    Get a new token from the login service.
person_token_foreign: the person's token has another issuer or audience
    Get one for this appliance; `[oidc]` pins service and audience.
person_token_invalid: the person's token cannot be verified
    Pass the login service's token on unchanged.
person_token_lifetime: the person's token is valid for too long
    Have the login service issue shorter ones, or raise `longest_minutes` in `[oidc]`.
person_token_replayed: another app used the person's token
    Get a token for each app.
person_unknown: the directory knows no person of this name, or several
    Compare the name with the attribute that `person` in `[ldap]` names.
people_queue_full: too many items wait for people
    Answer some, or defer fewer.
upstream_retention: this key's texts are not kept, but the upstream may keep them
    Use an upstream with `keeps_content = false`, or a local model.
internal_error: an unexpected error
    Report it with the request id; see `appliance logs --level error`.
"""
"""Line by line a code and its meaning; below, indented, its hint."""

CODES: Final = {
    code: Code(meaning, " ".join(hint.split()))
    for code, meaning, hint in re.findall(r"^(\w+): (.+)\n((?:    .+\n)+)", TABLE, re.MULTILINE)
}


class ApplianceError(Exception):
    """An error with a stable code, for a person and for a script.

    Args:
        code: a key of `CODES`.
        message: what happened, one sentence, with the values that matter.
        param: the field or argument at fault, if there is one.
        retry_after: seconds after which it may pass; None for the code's usual time.
    """

    def __init__(
        self, code: str, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.param, self.retry_after = param, retry_after

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
    """A bounded queue is full or a quota is used up."""


class Unavailable(ApplianceError):
    """The appliance cannot serve this now."""


class AuditUnavailable(Unavailable):
    """The audit log cannot be written."""


class WorkerLost(Unavailable):
    """The engine process of the model ended."""


class UpstreamLost(WorkerLost):
    """An engine on another host was asked, and gave no whole answer."""


class ServerUnreachable(ApplianceError):
    """A command needs the running server."""
