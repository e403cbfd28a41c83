from .page import build_page as build_page
from .page import launch as launch
from .predictions import PicturePrediction as PicturePrediction
from .predictions import predict_picture as predict_picture
