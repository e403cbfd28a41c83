from .objectives import objectives_of as objectives_of
from .results import show_results as show_results
from .results import study_report as study_report
from .storage import trial_facts as trial_facts
from .study import register_sweeper_defaults as register_sweeper_defaults
from .trial_job import objective_values as objective_values
from .trial_job import run_trial as run_trial
from .trial_pruning import pruning_callbacks as pruning_callbacks
