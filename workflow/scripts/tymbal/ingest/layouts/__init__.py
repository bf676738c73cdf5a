"""Public data sets as their archives unpack: one module for each way in which they tell labels and parts."""
