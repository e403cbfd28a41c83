from .coco import Coco as Coco
from .coco_file import read_coco as read_coco
