"""What callers hand over, checked once and made plain: numbers, random keys, the fields of configs.

A config is a frozen dataclass. `check` gives it plain values or raises, once, where a caller hands it over; behind that
door it is trusted, and `canonical` makes it what programs take, so that a value never retraces. What concerns one
argument or one field comes in here; what must know an algorithm or an environment does not (see
`jaxrl_up.algorithms`). Imports `types` only.
"""

from jaxrl_up.config.fields import above_fields as above_fields
from jaxrl_up.config.fields import canonical as canonical
from jaxrl_up.config.fields import changed as changed
from jaxrl_up.config.fields import check as check
from jaxrl_up.config.fields import check_above as check_above
from jaxrl_up.config.fields import check_field as check_field
from jaxrl_up.config.fields import check_relations as check_relations
from jaxrl_up.config.fields import did_you_mean as did_you_mean
from jaxrl_up.config.fields import held as held
from jaxrl_up.config.fields import schedule_steps as schedule_steps
from jaxrl_up.config.fields import traced_fields as traced_fields
from jaxrl_up.config.help import declarations as declarations
from jaxrl_up.config.help import field_help as field_help
from jaxrl_up.config.keys import as_key as as_key
from jaxrl_up.config.keys import as_keys as as_keys
from jaxrl_up.config.keys import wrap_as as wrap_as
from jaxrl_up.config.names import spell as spell
from jaxrl_up.config.own import GRAMMAR as GRAMMAR
from jaxrl_up.config.own import is_missing as is_missing
from jaxrl_up.config.own import is_own_file as is_own_file
from jaxrl_up.config.own import is_own_name as is_own_name
from jaxrl_up.config.own import module_name as module_name
from jaxrl_up.config.own import module_named as module_named
from jaxrl_up.config.own import own_module as own_module
from jaxrl_up.config.own import own_variable as own_variable
from jaxrl_up.config.own import place_of as place_of
from jaxrl_up.config.own import when_changed as when_changed
from jaxrl_up.config.own import where as where
from jaxrl_up.config.synonyms import SYNONYMS as SYNONYMS
from jaxrl_up.config.synonyms import elsewhere as elsewhere
from jaxrl_up.config.values import LARGEST as LARGEST
from jaxrl_up.config.values import as_whole as as_whole
from jaxrl_up.config.values import flag as flag
from jaxrl_up.config.values import is_number as is_number
from jaxrl_up.config.values import numbers as numbers
from jaxrl_up.config.values import plain as plain
from jaxrl_up.config.values import seconds_or_none as seconds_or_none
from jaxrl_up.config.values import seed_list as seed_list
from jaxrl_up.config.values import shape as shape
from jaxrl_up.config.values import shown as shown
from jaxrl_up.config.values import whole as whole
from jaxrl_up.config.values import whole_or_none as whole_or_none
from jaxrl_up.types import face

__dir__ = face(__name__)
