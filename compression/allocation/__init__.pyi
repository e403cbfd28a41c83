from .knapsack import solve_knapsack as solve_knapsack
