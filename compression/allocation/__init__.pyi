from .knapsack import solve_knapsack as solve_knapsack
from .options import Option as Option
from .options import choose_options as choose_options
from .trust_region import meet_goal as meet_goal
