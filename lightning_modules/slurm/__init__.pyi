from .ending import leave_if_ended as leave_if_ended
from .errors import SubmissionError as SubmissionError
from .job_record import job_of as job_of
from .job_record import own_job as own_job
from .node import register_launcher_defaults as register_launcher_defaults
from .watching import JobState as JobState
from .watching import job_state as job_state
